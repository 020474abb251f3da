// What there is at a place: class, confidence, the field, and curves against the means of classes.
import { curves, dateText, find, make, periodText } from "./charts.js";

export class Here {
  constructor(source, view, report) {
    Object.assign(this, { source, view, report, asked: 0 });
  }

  close() {
    this.asked += 1;
    find("here").hidden = true;
  }

  // Asks for a place on the date of a state, and shows it.
  async show(state) {
    const own = ++this.asked;
    const [lon, lat] = state.at;
    try {
      const found = await this.source.pixel(state.date, lon, lat);
      if (own !== this.asked) return;
      this.draw(state, found, null);
      find("here").hidden = false;
      if (this.view.curves.length && found.value !== null) await this.follow(own, state, found);
    } catch (error) {
      this.report(error.message);
    }
  }

  // Means take a while the first time; the curves are drawn without them until then.
  async follow(own, state, found) {
    for (;;) {
      const answer = await this.source.means(state.date);
      if (own !== this.asked) return;
      this.draw(state, found, answer);
      if (answer.state !== "computing") return;
      await new Promise((done) => setTimeout(done, 700));
      if (own !== this.asked) return;
    }
  }

  draw(state, found, answer) {
    const open = [...document.querySelectorAll("#facts details")].map((one) => one.open);
    const parts = [this.table(found)];
    if (found.field) parts.push(...this.field(found.field));
    if (found.field && Object.keys(found.field.probabilities).length) parts.push(...this.shares(found.field.probabilities));
    if (this.view.curves.length && found.value !== null) parts.push(...this.charts(state, found, answer));
    find("facts").replaceChildren(...parts);
    document.querySelectorAll("#facts details").forEach((one, i) => { one.open = open[i] || false; });
  }

  title(value) {
    return this.view.classes.find((one) => one.value === value);
  }

  table(found) {
    const rows = [];
    const own = this.title(found.value);
    if (own) {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = own.colour;
      rows.push(["Class", swatch, ` ${own.title}`]);
      rows.push(["Confidence", found.confidence === null ? "none" : `${found.confidence} %`]);
      if (found.since) rows.push(["Held since", dateText(found.since)]);
    } else {
      rows.push(["Class", found.value === null ? "outside the map" : "no data"]);
    }
    rows.push(["Place", `${found.lat.toFixed(5)}°, ${found.lon.toFixed(5)}° (latitude, longitude)`]);
    if (found.cube) rows.push(["Cube", found.cube]);
    return this.rows(rows);
  }

  field(found) {
    const rows = found.rows.map(([name, text]) => [name, this.named(name, text)]);
    return [make("h3", {}, `Field, row ${found.number + 1} of its file`), this.rows(rows)];
  }

  rows(rows) {
    const table = make("table");
    for (const [name, ...content] of rows) {
      const row = make("tr");
      const cell = make("td");
      cell.append(...content);
      row.append(make("th", { scope: "row" }, name), cell);
      table.append(row);
    }
    return table;
  }

  named(column, text) {
    const own = ["Class", "Second class"].includes(column) && this.view.classes.find((one) => one.name === text);
    return own ? own.title : text;
  }

  shares(probabilities) {
    const list = make("ul", { class: "shares" });
    const rows = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
    for (const [name, share] of rows) {
      const own = this.view.classes.find((one) => one.name === name);
      const row = make("li");
      const bar = make("span", { class: "bar" });
      const length = make("span");
      length.style.width = `${100 * share}%`;
      length.style.background = own ? own.colour : "#888888";
      bar.append(length);
      row.append(make("span", {}, own ? own.title : name), bar, make("span", { class: "number" }, `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`));
      list.append(row);
    }
    return [make("h3", {}, "Class probabilities, mean over the field"), list];
  }

  charts(state, found, answer) {
    const { view } = this;
    const means = answer && answer.state === "ready" ? answer.means.curves : {};
    const own = this.title(found.value);
    const parts = [make("h3", {}, "Over the season"), this.key(found, own, answer)];
    for (const { key, title, unit } of view.curves) {
      const lines = view.classes
        .filter((one) => one !== own && !state.hidden.has(one.value) && means[key]?.[one.value])
        .map((one) => ({ values: means[key][one.value], kind: "class", colour: one.colour }));
      if (own && means[key]?.[own.value]) lines.push({ values: means[key][own.value], kind: "class own", colour: own.colour });
      if (found.curves[key]) lines.push({ values: found.curves[key], kind: "pixel" });
      parts.push(curves(title, unit, view.periods, lines, view.dates[state.date]));
    }
    parts.push(this.months(found, own, means));
    return parts;
  }

  key(found, own, answer) {
    const { view } = this;
    const key = make("p", { class: "key" });
    const add = (text, colour) => {
      const one = make("span");
      const line = make("i");
      if (colour) line.style.borderTopColor = colour;
      one.append(line, text);
      key.append(one);
    };
    if (Object.keys(found.curves).length) add("this pixel");
    else if (view.exported) key.append(make("span", {}, "This file holds means of classes; curves of pixels need the served map."));
    if (own && answer && answer.state === "ready") {
      add(`mean of ${own.title} as mapped`, own.colour);
      key.append(make("span", {}, "thin: the other classes"));
    } else if (answer && answer.state === "computing") {
      key.append(make("span", {}, `means of classes: ${answer.done} of ${answer.of || "…"} cubes read`));
    } else if (answer && answer.state === "failed") {
      key.append(make("span", {}, `no means of classes: ${answer.why}`));
    }
    return key;
  }

  months(found, own, means) {
    const { view } = this;
    const details = make("details");
    details.append(make("summary", {}, "The numbers"));
    const table = make("table", { class: "months" });
    const head = make("tr");
    head.append(make("th", { scope: "col" }, "Period"));
    for (const { title, unit } of view.curves) {
      const said = unit ? `${title}, ${unit}` : title;
      if (Object.keys(found.curves).length) head.append(make("th", { scope: "col" }, said));
      head.append(make("th", { scope: "col" }, `mean ${said}`));
    }
    table.append(head);
    const text = (v) => (v === null || v === undefined ? "–" : v.toFixed(2).replace("-", "\u2212"));
    view.periods.forEach((period, i) => {
      const row = make("tr");
      row.append(make("th", { scope: "row" }, periodText(period)));
      for (const { key } of view.curves) {
        if (Object.keys(found.curves).length) row.append(make("td", {}, text(found.curves[key]?.[i])));
        row.append(make("td", {}, text(own && means[key]?.[own.value]?.[i])));
      }
      table.append(row);
    });
    details.append(table);
    return details;
  }
}
