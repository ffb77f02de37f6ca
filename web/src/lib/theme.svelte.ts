// The theme: the system's, or one that somebody chose in this browser. `first-paint.js` applies the
// choice before anything is painted; this changes it.

export const THEMES = ['system', 'light', 'dark'] as const;
export type ThemeChoice = (typeof THEMES)[number];

const STORED_AS = 'landline-theme';
const systemIsDark = matchMedia('(prefers-color-scheme: dark)');

class Theme {
  choice = $state<ThemeChoice>(stored());
  #isSystemDark = $state(systemIsDark.matches);
  /** What is painted now; plots follow it, since a canvas knows no custom properties. */
  readonly shown = $derived(
    this.choice === 'system' ? (this.#isSystemDark ? 'dark' : 'light') : this.choice,
  );

  constructor() {
    systemIsDark.addEventListener('change', (event) => (this.#isSystemDark = event.matches));
  }

  choose(choice: ThemeChoice): void {
    this.choice = choice;
    if (choice === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = choice;
    try {
      localStorage.setItem(STORED_AS, choice);
    } catch {
      // Storage can be forbidden; the choice then lasts until the page is left.
    }
  }
}

function stored(): ThemeChoice {
  const theme = document.documentElement.dataset['theme'];
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

export const theme = new Theme();
