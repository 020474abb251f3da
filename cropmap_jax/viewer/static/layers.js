// What lies on the map: rasters as tiles, outlines of the map and of fields, and a pin.
const RASTERS = ["image", "crop", "since", "confidence"];

const paper = () => getComputedStyle(document.documentElement);
const colour = (name) => paper().getPropertyValue(name).trim();

export class Layers {
  constructor(source, view, report) {
    Object.assign(this, { source, view, report, shown: {}, asked: 0 });
  }

  // Resolves when the map can be drawn on.
  open(container) {
    if (!document.createElement("canvas").getContext("webgl2")) {
      throw new Error("This browser does not draw with WebGL 2, which the map needs: expected it switched on, or another browser.");
    }
    const first = this.firstPlace();
    this.map = new maplibregl.Map({
      container,
      style: {
        version: 8,
        sources: {},
        layers: [{ id: "ground", type: "background", paint: { "background-color": colour("--ground") } }],
      },
      bounds: first < 0 ? this.view.bounds : this.view.places[first].bounds,
      fitBoundsOptions: { padding: 30, maxZoom: 16 },
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      renderWorldCopies: false,
      fadeDuration: 0,
      minZoom: 1,
      maxZoom: 19,
      locale: { "Map.Title": "Map: arrows move it, plus and minus zoom, Enter asks about the middle" },
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
    this.map.addControl(new maplibregl.ScaleControl({ maxWidth: 120 }), "bottom-left");
    this.map.on("error", (event) => this.report(event.error?.message || "A part of the map could not be drawn."));
    return new Promise((done) => this.map.once("load", () => { this.addOutlines(); done(); }));
  }

  // What is shown first: -1, the whole map, or its largest place where the whole would be a few dots.
  firstPlace() {
    const { bounds, places } = this.view;
    const side = ([west, south, east, north]) => Math.max(east - west, north - south);
    return places.length && side(places[0].bounds) < 0.05 * side(bounds) ? 0 : -1;
  }

  addOutlines() {
    const { places } = this.view;
    const features = (geometry) => ({
      type: "FeatureCollection",
      features: places.map((place, i) => ({ type: "Feature", id: i, properties: { place: i }, geometry: geometry(place) })),
    });
    const middle = ([west, south, east, north]) => [(west + east) / 2, (south + north) / 2];
    const line = { "line-color": colour("--edge"), "line-width": 1 };
    this.map.addSource("places", { type: "geojson", data: features((place) => place.outline) });
    this.map.addLayer({ id: "places", type: "line", source: "places", paint: line });
    const dots = features((place) => ({ type: "Point", coordinates: middle(place.bounds) }));
    this.map.addSource("dots", { type: "geojson", data: dots });
    const dot = { "circle-radius": 7, "circle-color": colour("--link"), "circle-stroke-color": "#ffffff", "circle-stroke-width": 2 };
    this.map.addLayer({ id: "dots", type: "circle", source: "dots", maxzoom: 8, paint: dot });
    this.map.addSource("fields", { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    const drawn = { "line-color": "#000000", "line-width": ["interpolate", ["linear"], ["zoom"], 11, 0.4, 16, 2] };
    this.map.addLayer({ id: "fields", type: "line", source: "fields", layout: { visibility: "none" }, paint: drawn });
  }

  // Draws what a state asks for; only what has changed.
  set(state) {
    for (const name of RASTERS) this.raster(name, state);
    const fields = state.on.fields && this.view.fields;
    this.map.setLayoutProperty("fields", "visibility", fields ? "visible" : "none");
    this.map.setPaintProperty("fields", "line-opacity", state.opacity.fields);
    if (fields) this.fields(state);
    this.pin(state.at);
  }

  raster(name, state) {
    if ((name === "image" || name === "since") && !this.view[name]) return;
    const number = { image: state.image, since: 0 }[name] ?? state.date;
    const hidden = name === "crop" ? [...state.hidden].sort((a, b) => a - b) : [];
    const address = this.source.tiles(name, number, hidden);
    const there = this.map.getSource(name);
    if (state.on[name] && !there) {
      this.map.addSource(name, { type: "raster", tiles: [address], tileSize: 256, maxzoom: this.source.maxzoom ?? 17 });
      const paint = { "raster-resampling": "nearest", "raster-fade-duration": 0 };
      const above = RASTERS.slice(RASTERS.indexOf(name) + 1).find((one) => this.map.getLayer(one));
      this.map.addLayer({ id: name, type: "raster", source: name, paint }, above || "places");
      this.shown[name] = address;
    } else if (there && state.on[name] && this.shown[name] !== address) {
      there.setTiles([address]);
      this.shown[name] = address;
    }
    if (this.map.getLayer(name)) {
      this.map.setLayoutProperty(name, "visibility", state.on[name] ? "visible" : "none");
      this.map.setPaintProperty(name, "raster-opacity", state.opacity[name]);
    }
  }

  async fields(state) {
    const own = ++this.asked;
    const box = this.map.getBounds().toArray().flat().map((v) => +v.toFixed(5));
    try {
      const found = await this.source.fields(state.date, box);
      if (own !== this.asked) return;
      this.map.getSource("fields").setData(found);
      const many = found.found > found.features.length;
      this.report(many ? `${found.found.toLocaleString("en")} fields in view: zoom in to see them` : "");
    } catch (error) {
      this.report(error.message);
    }
  }

  pin(at) {
    if (this.marker) this.marker.remove();
    this.marker = null;
    if (!at) return;
    const one = document.createElement("div");
    one.className = "pin";
    this.marker = new maplibregl.Marker({ element: one }).setLngLat(at).addTo(this.map);
  }

  // The place of a dot at a point of the screen; null where there is none.
  dot(point) {
    const [found] = this.map.queryRenderedFeatures(point, { layers: ["dots"] });
    return found ? found.properties.place : null;
  }

  // Moves a place out from under what covers the lower part of the map.
  lift(at, covered) {
    const { y } = this.map.project(at);
    const { clientHeight } = this.map.getContainer();
    if (y > clientHeight - covered - 30) this.map.easeTo({ center: at, offset: [0, -covered / 2], duration: 300 });
  }

  goTo(bounds) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.map.fitBounds(bounds, { padding: 30, maxZoom: 16, animate: !still, duration: 600 });
  }
}
