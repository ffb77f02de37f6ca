// The records of one event around one of them: it and those before it, and those after it. An event can
// have more records than anybody wants at once, and the API gives them from the newest end.

import { ask, records, type Question } from './api';
import { Loaded } from './loaded.svelte';
import { Sending } from './sending.svelte';
import type { RecordPage } from './types';

/** Records that are asked for at a time on each side. */
const SIDE_MOST = 250;

export class Timeline {
  readonly sending = new Sending();
  readonly earlier: Loaded<RecordPage>;
  readonly later: Loaded<RecordPage>;

  /** To be called while a component is set up. */
  constructor(private readonly event: () => string, private readonly current: () => number) {
    this.earlier = new Loaded(() => this.#upTo(this.current() + 1));
    this.later = new Loaded(() => this.#before(null));
  }

  /** Goes on towards the first record. */
  showEarlier(): Promise<void> {
    return this.#goOn(this.earlier, (next) => this.#upTo(next));
  }

  /** Goes on from the latest record down to the current one. */
  showLater(): Promise<void> {
    return this.#goOn(this.later, (next) => this.#before(next));
  }

  #upTo(before: number): Question<RecordPage> {
    return records({ event_id: this.event(), before, limit: SIDE_MOST });
  }

  #before(before: number | null): Question<RecordPage> {
    return records({ event_id: this.event(), after: this.current(), before, limit: SIDE_MOST });
  }

  async #goOn(side: Loaded<RecordPage>, question: (next: number) => Question<RecordPage>): Promise<void> {
    const next = side.data?.next ?? null;
    if (next === null) return;
    const page = await this.sending.send(() => ask(question(next)));
    if (!page || !side.data || side.data.next !== next) return;
    side.data = { ...page, records: [...side.data.records, ...page.records] };
  }
}
