"use strict";
// Drawings that are wider than the screen are shown from their middle, where the network begins.
(() => {
  for (const drawing of document.querySelectorAll(".drawing")) {
    drawing.scrollLeft = (drawing.scrollWidth - drawing.clientWidth) / 2;
  }
})();
