// On a phone a picture whose smallest text (8 points, 12.2 pixels) would be shown with less than 9 pixels keeps a size at
// which it can be read, and scrolls in a region that keys reach.
document.addEventListener("DOMContentLoaded", () => {
  for (const image of document.querySelectorAll(".cell_output img")) {
    const mark = () => {
      const readable = Math.ceil((9.05 / 12.2) * image.naturalWidth);
      if (window.innerWidth > 700 || image.width >= readable) return;
      image.style.maxWidth = "none";
      image.style.width = `${readable}px`;
      const region = image.closest(".output") || image.parentElement;
      region.style.overflowX = "auto";
      region.tabIndex = 0;
      region.setAttribute("role", "region");
      region.setAttribute("aria-label", image.alt || "wide picture");
    };
    image.complete ? mark() : image.addEventListener("load", mark);
  }
  // So does a table that is wider than its place.
  for (const table of document.querySelectorAll(".cell_output table")) {
    if (table.scrollWidth > table.clientWidth && !table.closest("[role=region]")) table.tabIndex = 0;
  }
});
