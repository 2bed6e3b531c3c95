"use strict";
for (const slider of document.querySelectorAll("input")) {
  const place = () => slider.parentElement.style.setProperty("--at", slider.value + "%");
  slider.addEventListener("input", place);
  place(); // browsers may restore the value of an earlier visit
}
const button = document.getElementById("size");
button.addEventListener("click", () => {
  button.ariaPressed = String(document.body.classList.toggle("actual"));
});
