// Runs before anything is painted, so that nobody who chose a theme sees the other one flash by.
try {
  const theme = localStorage.getItem('landline-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage can be forbidden; the system's theme is used then.
}
