"use strict";
// Pictures are enlarged by click, Enter or Space; arrow keys go through them, Escape closes.
const buttons = [...document.querySelectorAll(".picture")];
const large = document.getElementById("large");
let shown = 0;

function show(number) {
  shown = (number + buttons.length) % buttons.length;
  const picture = buttons[shown].querySelector("img");
  const view = large.querySelector("img");
  view.src = picture.src;
  view.alt = picture.alt;
  large.querySelector("p").textContent = picture.alt;
  if (!large.open) large.showModal();
}

buttons.forEach((button, number) => button.addEventListener("click", () => show(number)));
large.addEventListener("keydown", ({ key }) => {
  if (key === "ArrowRight") show(shown + 1);
  if (key === "ArrowLeft") show(shown - 1);
});
large.addEventListener("click", ({ target }) => {
  const step = target.dataset.step;
  if (step === "0" || target === large) large.close();
  else if (step) show(shown + Number(step));
});
large.addEventListener("close", () => buttons[shown].focus());
