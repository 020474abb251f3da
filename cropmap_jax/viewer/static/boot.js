// MapLibre is a module of its own; the page's scripts find it by one name, served or in a file.
import * as maplibregl from "./maplibre-gl.mjs";

globalThis.maplibregl = maplibregl;
