// Before the first paint, so that the page never flashes in the other theme.
(function () {
  var wanted = "auto";
  try {
    wanted = JSON.parse(localStorage.getItem("tickbus.preferences") || "{}").theme || "auto";
  } catch (error) {
    wanted = "auto";
  }
  if (wanted === "auto") {
    wanted = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  }
  document.documentElement.dataset.theme = wanted;
})();
