"use strict";
// Without this script all steps of a place stand one below the other.
document.documentElement.classList.add("js");
for (const place of document.querySelectorAll(".place")) {
  const slider = place.querySelector("input");
  const output = place.querySelector("output");
  const steps = [...place.querySelectorAll(".step")];
  const show = () => {
    steps.forEach((step, i) => step.classList.toggle("now", i === Number(slider.value)));
    const name = steps[slider.value].dataset.name;
    output.textContent = name;
    slider.setAttribute("aria-valuetext", name);
  };
  slider.addEventListener("input", show);
  show();
}
// Paper has no buttons: what is folded is unfolded for it.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((one) => (one.open = true));
});
addEventListener("afterprint", () => folded.forEach((one) => (one.open = false)));
