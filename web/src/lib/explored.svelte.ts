// A query of the page Explore: what is written, what is shown, and the answers.

import { Asked } from './loaded.svelte';
import {
  instantQuery, rangeQuery, type Answer, type Explained, type Grid, type Result,
} from './prometheus';

type QueryAnswer = Answer<Result & Explained>;

/** Series of an answer at most: a browser should survive an expression that means everything. */
const SERIES_MOST = 5_000;

let made = 0;

export class Explored {
  readonly id = (made += 1);
  /** What stands in the editor. */
  draft = $state('');
  /** What is shown; the draft becomes this when somebody runs it. */
  expression = $state('');
  isHidden = $state(false);
  // Answers are large, and soon out of date.
  readonly range = new Asked<QueryAnswer>(false);
  readonly instant = new Asked<QueryAnswer>(false);

  constructor(expression = '', isHidden = false) {
    this.draft = expression;
    this.expression = expression;
    this.isHidden = isHidden;
  }

  /** What is asked and answered in a view. */
  in(view: 'graph' | 'table'): Asked<QueryAnswer> {
    return view === 'graph' ? this.range : this.instant;
  }

  run(view: 'graph' | 'table', grid: Grid, time: number, isExplained: boolean): void {
    const { expression, isHidden } = this;
    if (expression === '' || isHidden) return this.in(view).clear();
    const how = { limit: SERIES_MOST, isExplained };
    if (view === 'graph') this.range.ask(rangeQuery(expression, grid, how));
    else this.instant.ask(instantQuery(expression, time, how));
  }

  stop(): void {
    this.range.stop();
    this.instant.stop();
  }
}
