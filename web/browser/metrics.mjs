// What people do with the pages of metrics.

import assert from 'node:assert/strict';

const lines = '[aria-label="Lines"] tbody tr';
const count = (page, wanted) => page.waitForFunction(
  ([selector, most]) => document.querySelectorAll(selector).length === most, [lines, wanted],
);

/** The hour until the last sample. */
const hour = ({ metrics: { until } }) =>
  new URLSearchParams({ since: new Date(until - 3_600_000).toISOString(), until: new Date(until).toISOString() });

export const METRIC_STEPS = {
  async 'the first page tells how a machine does'(watched) {
    const { page, task } = watched;
    const [one, other] = task.metrics.machines;
    await watched.go(`/?instance=${one}:9100&${hour(task)}`);
    await page.waitForSelector(`h1:text-is("${one}")`);
    await page.waitForFunction(() => document.querySelectorAll('.u-over').length === 5);
    // Facts and file systems are questions of their own, which may be answered after the plots.
    for (const part of ['1 core', '8 GiB of memory', 'Linux 6.12.48', '38 GiB of 40 GiB', 'nearly full']) {
      await page.waitForFunction((text) => document.querySelector('main').textContent.includes(text), part);
    }
    await watched.look('start');
    await page.selectOption('#machine', `${other}:9100`);
    await page.waitForSelector(`h1:text-is("${other}")`);
    await page.click('h2 >> text="Load"');
    await page.waitForURL('**/explore?q1=**');
    await count(page, 3);
  },

  async 'an expression is written with completion, and drawn'(watched) {
    const { page, task } = watched;
    await watched.go(`/explore?${hour(task)}`);
    await page.waitForSelector('.cm-content');
    await watched.look('explore-new');
    await page.click('.cm-content');
    await page.keyboard.type('rate(node_cpu_s', { delay: 20 });
    await page.waitForSelector('.cm-tooltip-autocomplete >> text=node_cpu_seconds_total');
    // Right after it opens, the list takes no key that was meant for the text.
    await page.waitForTimeout(200);
    await page.keyboard.press('Enter');
    await page.keyboard.type('{job="fleet"}[2m]');
    await watched.look('explore-completed');
    await page.keyboard.press('Control+Enter');
    await page.waitForURL('**/explore?**q1=rate**');
    await count(page, 4);
    await page.locator('[role=slider]').focus();
    // Some way before the end there are samples, whatever the step.
    await page.keyboard.press('End');
    for (const _ of Array(20)) await page.keyboard.press('ArrowLeft');
    assert.match(await page.getAttribute('[role=slider]', 'aria-valuetext'), /mode="idle"[^ ]* 0\.7, /);
    await page.check('text="Stacked"');
    await page.waitForURL('**stack=on');
    await page.waitForSelector('.u-over');
    await watched.look('explore');
    await page.click(`${lines} button >> nth=0`);
    await page.waitForSelector('text=1 of 4 lines');
  },

  async 'what is wrong with an expression is told at its place'(watched) {
    const { page } = watched;
    await watched.expecting(400, async () => {
      await watched.go('/explore?q1=sum(rate(node_load1%5B5m%5D)&q2=node_load1%7Bjob=%22fleet%22%7D');
      await page.waitForSelector('.problem:has-text("column")');
      await page.waitForSelector('.cm-lintRange-error');
      await count(page, 2);
      await watched.look('explore-refused');
      await page.click('[aria-label="Remove query 1"]');
    });
    await page.waitForURL('**/explore?q1=node_load1%7Bjob**');
    await page.waitForSelector('.problem', { state: 'detached' });
  },

  async 'a link to Prometheus leads to a table'(watched) {
    const { page, task } = watched;
    const until = encodeURIComponent(new Date(task.metrics.until).toISOString().slice(0, 19).replace('T', ' '));
    await watched.go(`/graph?g0.expr=node_uname_info%7Bjob%3D%22fleet%22%7D&g0.tab=1&g0.range_input=1h&g0.end_input=${until}`);
    await page.waitForURL('**/explore?q1=node_uname_info**view=table**');
    for (const machine of task.metrics.machines) await page.waitForSelector(`td:has-text('nodename="${machine}"')`);
    await watched.look('explore-table');
  },
};
