// The runs that are chosen for a comparison. They may be of several pages of the list, or of several
// searches.

import type { RunName } from './artefacts';
import { chosenWith } from './comparison';

class Chosen {
  keys = $state.raw<string[]>([]);

  toggle(run: RunName): void {
    this.keys = chosenWith(this.keys, run);
  }

  clear(): void {
    this.keys = [];
  }
}

export const chosen = new Chosen();
