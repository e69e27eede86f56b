// Light or dark: as the system says, unless the person said otherwise in this browser.

const KEY = "mixminus.console.theme";
export const THEMES = ["system", "light", "dark"];

export function currentTheme() {
  try {
    const kept = localStorage.getItem(KEY);
    return THEMES.includes(kept) ? kept : "system";
  } catch (error) {
    if (error.name === "SecurityError") return "system";
    throw error;
  }
}

export function applyTheme(theme = currentTheme()) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function chooseTheme(theme) {
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch (error) {
    if (error.name !== "SecurityError" && error.name !== "QuotaExceededError") throw error;
  }
  applyTheme(theme);
}
