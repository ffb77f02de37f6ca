// Frames that are never guilty, and how far records are grouped anew: looked at again and again while
// that is running, also when somebody else began it.

import { untrack } from 'svelte';
import { announcer } from './announcer.svelte';
import { ApiError, ask, regroup, skippedFrames } from './api';
import { doneWords } from './frames';
import { Loaded } from './loaded.svelte';
import type { SkippedFrames } from './types';

const LOOK_MS = 1_500;

/**
 * Whether somebody here waits for the end of it. It outlives the page it was begun on: a group that
 * became a part of another is left for that one, where the records may have come before the page.
 */
let isAwaited = false;
/** Later than this nobody waits any more for what another page began. */
const AWAITED_MS = 60_000;
let awaitedUntil = 0;

/** After a change that has records grouped anew, when another page will say how it ended. */
export function awaitRegrouping(): void {
  isAwaited = true;
  awaitedUntil = Date.now() + AWAITED_MS;
}

export class Regrouping {
  readonly answer = new Loaded(() => skippedFrames(), false);
  /** Why it is not known how far it is. */
  error = $state.raw<ApiError | undefined>();
  /** What came out of it, until somebody has read that. */
  done = $state('');
  /** Counts looks and changes: what was asked before a change says nothing about it. */
  #asked = 0;

  /** To be called while a component is set up; `onend` is for what has changed by then. */
  constructor(onend: () => void) {
    if (Date.now() > awaitedUntil) isAwaited = false;
    $effect(() => {
      const data = this.answer.data;
      if (!data) return;
      if (!data.regroup.is_running) {
        untrack(() => this.#end(data, onend));
        return;
      }
      if (!isAwaited) announcer.say('Grouping records anew');
      isAwaited = true;
      const timer = setTimeout(() => void this.look(), LOOK_MS);
      return () => clearTimeout(timer);
    });
  }

  /** After a change that has records grouped anew; with its answer, if that says how far it is. */
  begin(data?: SkippedFrames): void {
    isAwaited = true;
    this.done = '';
    this.#asked += 1;
    if (data) this.answer.data = data;
    else void this.look();
  }

  async look(): Promise<void> {
    this.error = undefined;
    const asked = ++this.#asked;
    try {
      const progress = await ask(regroup());
      const { data } = this.answer;
      if (asked !== this.#asked) return;
      if (data) this.answer.data = { ...data, regroup: progress };
      else this.answer.retry();
    } catch (failure) {
      if (asked === this.#asked) this.error = ApiError.of(failure);
    }
  }

  #end(data: SkippedFrames, onend: () => void): void {
    if (!isAwaited) return;
    isAwaited = false;
    this.done = doneWords(data.regroup);
    announcer.say(this.done);
    // Somebody else may have changed the frames.
    this.answer.retry();
    onend();
  }
}
