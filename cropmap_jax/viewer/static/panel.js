// The panel: layers, legend with hectares, the season, and where to go.
import { dateText, find, hectareText, make, periodText, stacks } from "./charts.js";

const NAMES = { crop: "Crops", since: "Held since", confidence: "Confidence", image: "Image", fields: "Field outlines" };

export class Panel {
  constructor(view, state, changed, goTo) {
    Object.assign(this, { view, state, changed, goTo });
    find("name").textContent = view.name;
    document.title = `${view.name}: crop map`;
    this.season();
    this.layers();
    this.legend();
    this.places();
    for (const note of view.notes) find("notes").append(make("li", {}, note));
    const sheet = find("sheet");
    sheet.addEventListener("click", () => this.open(!find("panel").classList.contains("open")));
  }

  open(there) {
    find("panel").classList.toggle("open", there);
    find("sheet").setAttribute("aria-expanded", String(there));
    find("sheet-text").textContent = there ? "Back to the map" : "Layers and legend";
  }

  season() {
    const { dates } = this.view;
    const slider = find("date");
    find("season").hidden = dates.length < 2;
    slider.max = dates.length - 1;
    const set = (number) => {
      this.state.date = Math.min(Math.max(number, 0), dates.length - 1);
      this.changed();
    };
    this.pick = set;
    slider.addEventListener("input", () => set(+slider.value));
    find("before").addEventListener("click", () => set(this.state.date - 1));
    find("after").addEventListener("click", () => set(this.state.date + 1));
  }

  layers() {
    const there = { crop: true, since: !!this.view.since, confidence: true, image: !!this.view.image, fields: this.view.fields };
    this.inputs = {};
    for (const name of Object.keys(NAMES)) {
      if (!there[name]) continue;
      const row = make("div", { class: "layer" });
      const label = make("label");
      const box = make("input", { type: "checkbox", id: `on-${name}` });
      label.append(box, NAMES[name]);
      const range = make("input", { type: "range", min: 0, max: 100, step: 5, id: `opacity-${name}`, "aria-label": `Opacity of ${NAMES[name].toLowerCase()}, percent` });
      box.addEventListener("change", () => { this.state.on[name] = box.checked; this.changed(); });
      range.addEventListener("input", () => { this.state.opacity[name] = range.value / 100; this.changed(); });
      row.append(label, range);
      if (name === "confidence") row.append(this.ramp());
      if (name === "since") row.append(this.dates());
      if (name === "image") row.append(this.periods());
      find("layers").append(row);
      this.inputs[name] = { box, range };
    }
  }

  dates() {
    const more = make("div", { class: "more" });
    const list = make("ul", { class: "dated" });
    this.view.since.forEach((colour, i) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = colour;
      const row = make("li");
      row.append(swatch, ` ${dateText(this.view.dates[i])}`);
      list.append(row);
    });
    more.append(list, make("span", {}, "from which on the class of the latest map has held"));
    return more;
  }

  ramp() {
    const more = make("div", { class: "more" });
    const { stops, calibrated } = this.view.confidence;
    const bar = make("span", { class: "ramp" });
    bar.style.background = `linear-gradient(to right, ${stops.map(([at, one]) => `${one} ${at}%`).join(", ")})`;
    const ticks = make("div", { class: "ticks" });
    for (const [at] of stops) ticks.append(make("span", {}, at === 100 ? "100 %" : String(at)));
    const kind = calibrated ? "calibrated probability" : "uncalibrated probability";
    more.append(bar, ticks, make("span", {}, `${kind} of the class shown, percent`));
    return more;
  }

  periods() {
    const more = make("div", { class: "more" });
    const select = make("select", { id: "period", "aria-label": "Period of the image" });
    this.view.image.periods.forEach((period, i) => select.append(make("option", { value: i }, periodText(period))));
    select.addEventListener("change", () => {
      this.state.image = +select.value;
      this.state.on.image = true;
      this.changed();
    });
    more.append(select, make("span", {}, "true colour, composite of the period"));
    return more;
  }

  legend() {
    const { state, view } = this;
    this.rows = view.classes.map((one) => {
      const row = make("li");
      const label = make("label");
      const box = make("input", { type: "checkbox", "data-value": one.value });
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = one.colour;
      label.append(box, swatch, make("span", { class: "title" }, one.title));
      const bar = make("span", { class: "bar" });
      const length = make("span");
      length.style.background = one.colour;
      bar.append(length);
      const number = make("span", { class: "number" });
      row.append(label, bar, number);
      box.addEventListener("change", () => {
        state.hidden[box.checked ? "delete" : "add"](one.value);
        this.changed();
      });
      find("legend").append(row);
      return { one, row, box, length, number };
    });
    find("all").addEventListener("click", () => { state.hidden.clear(); this.changed(); });
    find("none").addEventListener("click", () => { view.classes.forEach((one) => state.hidden.add(one.value)); this.changed(); });
  }

  places() {
    const select = find("places");
    const { places, more_places: more } = this.view;
    select.append(make("option", { value: -1 }, "Whole map"));
    if (places.length > 1) {
      places.forEach((place, i) => {
        const size = place.hectares >= 1000 ? `${(place.hectares / 100).toFixed(0)} km²` : hectareText(place.hectares);
        select.append(make("option", { value: i }, `Place ${i + 1} of ${places.length + more}: ${size}`));
      });
    }
    select.addEventListener("change", () => this.goTo(+select.value < 0 ? this.view.bounds : places[select.value].bounds));
    const link = find("link");
    link.addEventListener("click", async () => {
      const done = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
      link.textContent = done ? "Copied" : "Copy the address of this page";
      setTimeout(() => { link.textContent = "Copy a link to this view"; }, 2500);
    });
  }

  // Shows a state.
  set(state) {
    const { dates, hectares, window: span } = this.view;
    const date = dates[state.date];
    const last = state.date === dates.length - 1;
    const images = last && span.length ? `, images until ${dateText(span.at(-1).split("/")[1])}` : "";
    find("dates").textContent = `As of ${dateText(date)}${images}`;
    find("date").value = state.date;
    find("date").setAttribute("aria-valuetext", dateText(date));
    find("date-text").textContent = dateText(date);
    find("before").disabled = state.date === 0;
    find("after").disabled = last;
    for (const [name, { box, range }] of Object.entries(this.inputs)) {
      box.checked = state.on[name];
      range.value = Math.round(state.opacity[name] * 100);
    }
    if (this.view.image) find("period").value = state.image;
    this.bars(state, hectares[date]);
  }

  bars(state, found) {
    // None of these is most of many a map: its bar would leave nothing of the others.
    const crops = this.rows.filter(({ one }) => one.value !== 254);
    const most = Math.max(...crops.map(({ one }) => found[one.name] || 0), 1e-9);
    for (const { one, row, box, length, number } of this.rows) {
      const value = found[one.name] || 0;
      box.checked = !state.hidden.has(one.value);
      row.classList.toggle("off", state.hidden.has(one.value));
      length.style.width = one.value === 254 ? "0" : `${(100 * value) / most}%`;
      number.textContent = hectareText(value);
    }
    const rest = [["no_data", "no data"], ["masked", "masked"]].filter(([name]) => found[name] > 0);
    const more = rest.map(([name, title]) => `${title} ${hectareText(found[name])}`).join(", ");
    find("area-note").textContent = `Pixel counts, not corrected for map errors${more ? `; ${more}` : ""}.`;
    const { dates, classes, hectares } = this.view;
    if (dates.length < 2) return;
    const shown = classes.filter((one) => one.value !== 254 && !state.hidden.has(one.value));
    find("over").hidden = false;
    const note = make("p", { class: "note" }, "Without none of these. A click chooses the date.");
    find("over-chart").replaceChildren(stacks(dates, shown, hectares, state.date, this.pick), note);
  }
}
