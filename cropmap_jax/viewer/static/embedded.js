// What the page draws from where it is a file: all of it lies in the page.
import { start } from "./app.js";

const SIDE = 256;

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

class Embedded {
  constructor(data) {
    Object.assign(this, data);
    this.found = new Map();
    this.maxzoom = this.zoom;
    const worker = document.getElementById("worker").textContent;
    maplibregl.setWorkerUrl(URL.createObjectURL(new Blob([worker], { type: "text/javascript" })));
    maplibregl.addProtocol("embedded", async ({ url }) => ({ data: await this.tile(url) }));
    this.view = async () => data.view;
  }

  tiles(layer, number, hidden) {
    return `embedded://${layer}/${number}/{z}/{x}/{y}/${hidden.join(",")}`;
  }

  // Pixels of a layer in all rectangles, unpacked once.
  pixels(layer, number) {
    const key = `${layer} ${number}`;
    if (!this.found.has(key)) {
      const unpack = layer === "image" ? (text) => picture(text) : inflate;
      const texts = layer === "image" ? this.images : layer === "since" ? this.since : this.dates[number][layer];
      this.found.set(key, Promise.all(texts.map(unpack)));
    }
    return this.found.get(key);
  }

  async tile(url) {
    const [layer, number, z, x, y, hidden] = url.slice("embedded://".length).split("/");
    const pixels = await this.pixels(layer, +number);
    const step = 2 ** (this.zoom - z);
    const corner = [x * SIDE * step, y * SIDE * step];
    if (layer === "image") return this.photo(pixels, corner, step);
    const palette = this.palette(layer, new Set(hidden ? hidden.split(",").map(Number) : []));
    const out = new ImageData(SIDE, SIDE);
    const colours = new Uint32Array(out.data.buffer);
    this.rectangles.forEach((one, i) => {
      const [first, last] = span(corner[0], step, one.left, one.width);
      const [top, bottom] = span(corner[1], step, one.top, one.height);
      for (let row = top; row < bottom; row++) {
        const line = (Math.floor(corner[1] + (row + 0.5) * step) - one.top) * one.width - one.left;
        for (let col = first; col < last; col++) {
          const found = palette[pixels[i][line + Math.floor(corner[0] + (col + 0.5) * step)]];
          if (found) colours[row * SIDE + col] = found;
        }
      }
    });
    return createImageBitmap(out);
  }

  photo(pictures, [left, top], step) {
    const canvas = new OffscreenCanvas(SIDE, SIDE);
    const context = canvas.getContext("2d");
    this.rectangles.forEach((one, i) => {
      const place = [(one.left - left) / step, (one.top - top) / step, one.width / step, one.height / step];
      if (pictures[i]) context.drawImage(pictures[i], ...place);
    });
    return canvas.transferToImageBitmap();
  }

  // Colour of each value as the four bytes of a pixel.
  palette(layer, hidden) {
    const out = new Uint32Array(256);
    const set = (value, colour) => { out[value] = new Uint32Array(new Uint8Array([...colour, 255]).buffer)[0]; };
    if (layer === "crop") {
      for (const one of this.data.classes) if (!hidden.has(one.value)) set(one.value, rgb(one.colour));
      return out;
    }
    if (layer === "since") {
      this.data.since.forEach((colour, value) => set(value, rgb(colour)));
      return out;
    }
    const { stops } = this.data.confidence;
    for (let v = 0; v <= 100; v++) {
      const i = Math.max(stops.findIndex(([at]) => at >= v), 1);
      const [[low, from], [high, to]] = [stops[i - 1], stops[i]];
      const share = (v - low) / (high - low);
      set(v, rgb(from).map((one, band) => Math.round(one + share * (rgb(to)[band] - one))));
    }
    return out;
  }

  async pixel(number, lon, lat) {
    const world = SIDE * 2 ** this.zoom;
    const x = Math.floor(((lon + 180) / 360) * world);
    const y = Math.floor((0.5 - Math.asinh(Math.tan((lat * Math.PI) / 180)) / (2 * Math.PI)) * world);
    const out = { lon, lat, value: null, confidence: null, curves: {}, field: this.field(lon, lat) };
    const since = this.data.since && number === this.data.dates.length - 1 ? await this.pixels("since", 0) : null;
    const [crop, confidence] = [await this.pixels("crop", number), await this.pixels("confidence", number)];
    this.rectangles.forEach((one, i) => {
      const [col, row] = [x - one.left, y - one.top];
      if (out.value !== null || col < 0 || row < 0 || col >= one.width || row >= one.height) return;
      const at = row * one.width + col;
      if (crop[i][at] === 255 && confidence[i][at] === 255) return;
      out.value = crop[i][at];
      out.confidence = confidence[i][at] === 255 ? null : confidence[i][at];
      if (since && since[i][at] !== 255) out.since = this.data.dates[since[i][at]];
    });
    return out;
  }

  async means(number) {
    const { means } = this.dates[number];
    return means ? { state: "ready", means } : { state: "none" };
  }

  async fields() {
    return this.outlines;
  }

  field(lon, lat) {
    const found = (this.outlines?.features || []).find((one) => inside(one.geometry, lon, lat));
    return found ? { number: found.id, rows: found.properties.rows, probabilities: found.properties.probabilities } : null;
  }
}

// First and last pixel of a tile whose centres lie within a length of pixels.
function span(corner, step, start, length) {
  const first = Math.ceil((start - corner) / step - 0.5);
  const last = Math.ceil((start + length - corner) / step - 0.5);
  return [Math.min(Math.max(first, 0), SIDE), Math.min(Math.max(last, 0), SIDE)];
}

async function picture(text) {
  if (!text) return null;
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return createImageBitmap(new Blob([bytes]));
}

// Whether a polygon of GeoJSON holds a place: edges crossed to the east of it, odd if it does.
function inside(geometry, lon, lat) {
  const parts = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.type === "MultiPolygon" ? geometry.coordinates : [];
  return parts.some((rings) => {
    let odd = false;
    for (const ring of rings) {
      for (let i = 1; i < ring.length; i++) {
        const [[x0, y0], [x1, y1]] = [ring[i - 1], ring[i]];
        if (y0 > lat !== y1 > lat && lon < x0 + ((lat - y0) / (y1 - y0)) * (x1 - x0)) odd = !odd;
      }
    }
    return odd;
  });
}

const data = JSON.parse(document.getElementById("data").textContent);
start(new Embedded({ ...data, data: data.view }));
