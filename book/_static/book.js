// Pictures wider than a phone keep a size at which their text can be read, and scroll in a region that keys reach.
document.addEventListener("DOMContentLoaded", () => {
  for (const image of document.querySelectorAll(".cell_output img")) {
    const mark = () => {
      if (image.naturalWidth <= 640) return;
      image.classList.add("wide");
      image.style.setProperty("--readable", `${Math.ceil(0.66 * image.naturalWidth)}px`);
      const region = image.closest(".output") || image.parentElement;
      region.classList.add("wide-picture");
      if (window.innerWidth < 700) {
        region.tabIndex = 0;
        region.setAttribute("role", "region");
        region.setAttribute("aria-label", image.alt || "wide picture");
      }
    };
    image.complete ? mark() : image.addEventListener("load", mark);
  }
});
