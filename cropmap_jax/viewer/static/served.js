// What the page draws from, asked of the server that delivered it.
import { start } from "./app.js";

class Served {
  constructor() {
    this.base = new URL(".", location.href).href;
  }

  async ask(address) {
    const answer = await fetch(this.base + address).catch(() => null);
    if (!answer) throw new Error("The server does not answer: was it ended?");
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(found.error || `The server answered ${answer.status}.`);
    return found;
  }

  async view() {
    const found = await this.ask("view.json");
    this.token = found.token;
    return found;
  }

  tiles(layer, number, hidden) {
    const hide = hidden.length ? `&hide=${hidden.join(",")}` : "";
    return `${this.base}tiles/${layer}/${number}/{z}/{x}/{y}.png?v=${this.token}${hide}`;
  }

  pixel(number, lon, lat) {
    return this.ask(`pixel/${number}.json?lon=${lon}&lat=${lat}`);
  }

  means(number) {
    return this.ask(`means/${number}.json`);
  }

  fields(number, [west, south, east, north]) {
    const box = `west=${west}&south=${south}&east=${east}&north=${north}`;
    return this.ask(`fields/${number}.json?${box}`);
  }
}

start(new Served());
