// Starts the page: one state, which the address holds, and all that shows it.
import { find } from "./charts.js";
import { Here } from "./here.js";
import { Layers } from "./layers.js";
import { Panel } from "./panel.js";

const LAYERS = ["image", "crop", "since", "confidence", "fields"];

function report(text) {
  const status = find("status");
  status.textContent = text;
  status.hidden = !text;
}

function initial(view) {
  const date = view.dates.length - 1;
  return {
    date,
    image: view.image ? lastPeriod(view.image.periods, view.dates[date]) : 0,
    on: { image: !!view.image, crop: true, since: false, confidence: false, fields: view.fields },
    opacity: { image: 1, crop: 1, since: 1, confidence: 1, fields: 1 },
    hidden: new Set(),
    at: null,
  };
}

// The latest period that had ended by a date.
function lastPeriod(periods, date) {
  const ended = periods.filter(([, end]) => end <= date).length;
  return Math.max(ended - 1, 0);
}

// Reads the state that an address holds; what is not there, or is wrong, stays as it is.
function fromAddress(view, state, map) {
  const given = new URLSearchParams(location.hash.slice(1));
  const numbers = (text, count) => {
    const found = (text || "").split(/[/,]/).map(Number);
    return found.length === count && found.every(Number.isFinite) ? found : null;
  };
  const place = numbers(given.get("view"), 3);
  if (place && Math.abs(place[1]) <= 90) map.jumpTo({ zoom: place[0], center: [place[2], place[1]] });
  const on = given.get("layers");
  if (on !== null) for (const name of LAYERS) state.on[name] = on.split(",").includes(name);
  if (view.dates.includes(given.get("date"))) state.date = view.dates.indexOf(given.get("date"));
  const image = view.image ? view.image.periods.findIndex(([start]) => start === given.get("image")) : -1;
  if (image >= 0) state.image = image;
  if (given.has("hide")) state.hidden = new Set(given.get("hide").split(",").filter(Boolean).map(Number).filter((v) => v >= 0 && v < 256));
  for (const part of (given.get("opacity") || "").split(",")) {
    const [name, percent] = part.split(":");
    if (LAYERS.includes(name) && percent >= 0 && percent <= 100) state.opacity[name] = percent / 100;
  }
  const at = numbers(given.get("at"), 2);
  state.at = at && Math.abs(at[0]) <= 90 && Math.abs(at[1]) <= 360 ? [at[1], at[0]] : null;
}

function toAddress(view, state, map) {
  const { lng, lat } = map.getCenter();
  const parts = [`view=${map.getZoom().toFixed(2)}/${lat.toFixed(5)}/${lng.toFixed(5)}`];
  parts.push(`layers=${LAYERS.filter((name) => state.on[name]).join(",")}`);
  if (view.dates.length > 1) parts.push(`date=${view.dates[state.date]}`);
  if (view.image) parts.push(`image=${view.image.periods[state.image][0]}`);
  if (state.hidden.size) parts.push(`hide=${[...state.hidden].sort((a, b) => a - b).join(",")}`);
  const faint = LAYERS.filter((name) => state.opacity[name] < 1);
  if (faint.length) parts.push(`opacity=${faint.map((name) => `${name}:${Math.round(100 * state.opacity[name])}`).join(",")}`);
  if (state.at) parts.push(`at=${state.at[1].toFixed(5)},${state.at[0].toFixed(5)}`);
  return `#${parts.join("&")}`;
}

export async function start(source) {
  try {
    const view = await source.view();
    await run(source, view);
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    report(error.message);
  }
}

async function run(source, view) {
  const state = initial(view);
  const layers = new Layers(source, view, report);
  const here = new Here(source, view, report);
  const opened = layers.open("map");
  const { map } = layers;
  const panel = new Panel(view, state, () => changed(), (bounds) => layers.goTo(bounds));
  find("places").value = layers.firstPlace();
  let shown = "";

  const address = () => {
    try {
      history.replaceState(null, "", toAddress(view, state, map));
    } catch {
      // A page inside another one, as of a notebook, has no address of its own.
    }
  };
  function changed() {
    layers.set(state);
    panel.set(state);
    const asked = state.at ? `${state.at} ${state.date} ${[...state.hidden]}` : "";
    if (asked && asked !== shown) here.show(state);
    if (!asked) here.close();
    shown = asked;
    address();
  }
  function ask(lngLat) {
    state.at = [+lngLat.lng.toFixed(6), +lngLat.lat.toFixed(6)];
    changed();
    panel.open(true);
    find("panel").scrollTop = 0;
    const phone = getComputedStyle(find("panel")).position === "fixed";
    if (phone) layers.lift(state.at, find("map").clientHeight * 0.62);
  }
  function leave() {
    const phone = find("panel").classList.contains("open");
    state.at = null;
    changed();
    if (phone) panel.open(false);
  }

  await opened;
  fromAddress(view, state, map);
  changed();
  map.on("click", (event) => {
    const place = layers.dot(event.point);
    if (place !== null) layers.goTo(view.places[place].bounds);
    else ask(event.lngLat);
  });
  map.on("moveend", () => {
    address();
    if (state.on.fields && view.fields) layers.fields(state);
  });
  map.getCanvas().addEventListener("keydown", (event) => {
    if (event.key === "Enter") ask(map.getCenter());
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
  });
  find("close").addEventListener("click", () => { leave(); map.getCanvas().focus({ preventScroll: true }); });
  addEventListener("hashchange", () => { fromAddress(view, state, map); changed(); });
  globalThis.cropmap = { map, state, view };
}
