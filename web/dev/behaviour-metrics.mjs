// What people do with the pages of metrics: queries, graphs, tables, targets, the first page.

import assert from 'node:assert/strict';

const lines = (page) => page.locator('table[aria-label="Lines"] tbody tr');
const count = (page, most) => page.waitForFunction(
  (wanted) => document.querySelectorAll('table[aria-label="Lines"] tbody tr').length === wanted, most,
);
async function expressions(page) {
  await page.waitForSelector('.cm-content');
  return page.locator('.cm-content').allTextContents();
}
/** Whatever list of completions is open by then. */
const run = (page) => page.keyboard.press('Control+Enter');

async function write(page, text, number = 0) {
  await page.locator('.cm-content').nth(number).click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText(text);
}

export const metricChecks = (BASE, mock) => ({
  async 'an expression is completed, run with Enter, and stands in the address'(page) {
    await page.goto(`${BASE}/explore`);
    await page.waitForSelector('.cm-content');
    await page.click('.cm-content');
    await page.keyboard.type('node_lo', { delay: 30 });
    await page.waitForSelector('.cm-tooltip-autocomplete >> text=node_load1');
    assert.ok((await page.textContent('.cm-tooltip-autocomplete')).includes('gauge'));
    // Right after it opens, the list takes no key that was meant for the text.
    await page.waitForTimeout(200);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('.editor').shadowRoot.textContent.includes('node_load1'));
    await page.keyboard.press('Enter');
    await page.waitForURL('**/explore?q1=node_load1');
    await count(page, 2);
    await page.reload();
    await count(page, 2);
    assert.deepEqual(await expressions(page), ['node_load1']);
  },

  async 'keys of the page do nothing in the editor'(page) {
    await page.goto(`${BASE}/explore`);
    await page.waitForSelector('.cm-content');
    await page.keyboard.press('/');
    await page.keyboard.type('g/?jr');
    assert.deepEqual(await expressions(page), ['g/?jr']);
    assert.equal(await page.locator('dialog[open]').count(), 0);
    assert.equal(new URL(page.url()).pathname, '/explore');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.keyboard.press('g');
    await page.keyboard.press('o');
    await page.waitForURL('**/targets');
  },

  async 'a graph is looked at with keys and pointer, and a line left alone'(page) {
    await page.goto(`${BASE}/explore?q1=node_load1`);
    await page.waitForSelector('.u-over');
    await page.locator('[role=slider]').focus();
    await page.keyboard.press('End');
    const told = await page.getAttribute('[role=slider]', 'aria-valuetext');
    assert.match(told, /^\d\d:\d\d:\d\d UTC: \{instance="(attic|cellar):9100"\} [\d.]+, /);
    assert.match(await page.textContent('table[aria-label="Lines"] th.figure'), /^\d\d:\d\d:\d\d$/);
    await lines(page).nth(1).locator('button').click();
    await page.waitForSelector('text=1 of 2 lines');
    assert.equal(await lines(page).nth(0).locator('button').getAttribute('aria-pressed'), 'false');
    await lines(page).nth(1).locator('button').click();
    await page.waitForSelector('text="2 lines"');
    await lines(page).nth(1).locator('button').click({ modifiers: ['Shift'] });
    await page.waitForSelector('text=1 of 2 lines');
    assert.equal(await lines(page).nth(0).locator('button').getAttribute('aria-pressed'), 'true');
  },

  async 'a part of the graph is chosen, and the way back is the browser\'s'(page) {
    await page.goto(`${BASE}/explore?q1=node_load1&range=6h`);
    await page.waitForSelector('.u-over');
    const box = await page.locator('.u-over').boundingBox();
    await page.mouse.move(box.x + box.width * 0.25, box.y + 80);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 90, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL('**since=**until=**');
    const query = new URL(page.url()).searchParams;
    const hours = (Date.parse(query.get('until')) - Date.parse(query.get('since'))) / 3_600_000;
    assert.ok(Math.abs(hours - 1.5) < 0.1, `${hours} hours`);
    assert.equal(await page.isDisabled('#refresh'), true);
    await page.goBack();
    await page.waitForURL('**range=6h');
    await page.waitForSelector('[aria-label="Time range"] [aria-current]:text-is("6 h")');
  },

  async 'queries are added, hidden, moved with keys, and removed'(page) {
    await page.goto(`${BASE}/explore?q1=up`);
    await page.waitForSelector('.cm-content');
    await count(page, 2);
    await page.click('text="Add a query"');
    await page.waitForFunction(() => document.querySelectorAll('.editor.is-there').length === 2);
    await page.keyboard.insertText('http_requests_total');
    await run(page);
    await page.waitForURL('**/explore?q1=up&q2=http_requests_total');
    await count(page, 42);
    await page.locator('.cm-content').nth(1).click();
    await page.keyboard.press('Alt+ArrowUp');
    await page.waitForURL('**/explore?q1=http_requests_total&q2=up');
    assert.deepEqual(await expressions(page), ['http_requests_total', 'up']);
    // Who moved a query goes on writing in it.
    await page.keyboard.press('End');
    await page.keyboard.insertText(' ');
    assert.equal((await expressions(page))[0], 'http_requests_total ');
    await page.click('[aria-label="Hide query 1"]');
    await page.waitForURL('**hidden=1');
    await count(page, 2);
    await page.click('[aria-label="Show query 1"]');
    await count(page, 42);
    await page.click('[aria-label="Remove query 1"]');
    await page.waitForURL('**/explore?q1=up');
    await count(page, 2);
    await page.goBack();
    await page.waitForFunction(() => document.querySelectorAll('.editor').length === 2);
  },

  async 'what is wrong with an expression is said, and where'(page) {
    await page.goto(`${BASE}/explore?q1=unknown_function(up)`);
    await page.waitForSelector('.problem:has-text("Line 1, column 1: unknown function")');
    await page.waitForSelector('.cm-lintRange-error');
    await write(page, 'rate(up[5m])');
    await run(page);
    await page.waitForSelector('text="Note:"');
    await page.waitForSelector('.cm-lintRange-info');
    assert.equal(await page.locator('.problem').count(), 0);
    await write(page, 'too_many');
    await run(page);
    await page.waitForSelector('.problem:has-text("shorter range")');
  },

  async 'the table tells values, of all kinds'(page) {
    await page.goto(`${BASE}/explore?q1=up&q2=42`);
    await page.click('nav[aria-label=View] >> text="Table"');
    await page.waitForURL('**view=table');
    await page.waitForSelector('td:has-text("up{instance=\\"attic:9100\\", job=\\"node\\"}")');
    await page.waitForSelector('tr:has-text("scalar"):has-text("42")');
    await page.goto(`${BASE}/explore?q1=http_requests_total&view=table`);
    await page.click('text=/^Value/');
    await page.waitForSelector('th[aria-sort=descending]');
    const values = await page.locator('tbody td.figure').allTextContents();
    assert.deepEqual(values, values.toSorted((one, other) => Number(other) - Number(one)));
  },

  async 'the look of a graph stands in the address'(page) {
    await page.goto(`${BASE}/explore?q1=node_load1`);
    await page.waitForSelector('.u-over');
    await page.check('text="Logarithmic"');
    await page.waitForURL('**scale=log');
    await page.check('text="Stacked"');
    await page.waitForURL('**stack=on');
    await page.check('text="Explain"');
    await page.waitForSelector('tr:has-text("node_load1"):has-text("1.32 ms")');
    const asked = page.waitForRequest((request) => request.url().includes('step=60'));
    await page.fill('input.step', '1m');
    await page.press('input.step', 'Tab');
    await asked;
    await page.waitForURL('**step=1m');
    await page.fill('input.step', '1s');
    await page.press('input.step', 'Tab');
    await page.selectOption('#refresh', '5');
    await page.waitForURL('**refresh=5s');
    await page.waitForRequest((request) => request.url().includes('query_range'), { timeout: 8_000 });
  },

  async 'a question that is not wanted any more is given up'(page, context) {
    await mock(context, 'slow=1500');
    await page.goto(`${BASE}/explore?q1=node_load1`);
    await page.waitForSelector('button:text-is("Cancel")');
    const given = page.waitForEvent('requestfailed', (request) => request.url().includes('query_range?query=node_load1'));
    await page.click('[aria-label="Time range"] >> text="6 h"');
    assert.match((await given).failure().errorText, /ABORTED/);
    const cancelled = page.waitForEvent('requestfailed', (request) => request.url().includes('query_range'));
    await page.click('button:text-is("Cancel")');
    await cancelled;
    await page.waitForSelector('button:text-is("Cancel")', { state: 'detached' });
  },

  async 'a link to Prometheus leads to the same graph'(page) {
    await page.goto(`${BASE}/graph?g0.expr=node_load1&g0.tab=0&g0.range_input=6h&g1.expr=up&g1.tab=0`);
    await page.waitForURL('**/explore?q1=node_load1&q2=up&range=6h');
    await count(page, 4);
  },

  async 'targets are filtered and opened'(page) {
    await page.goto(`${BASE}/targets`);
    await page.waitForSelector('table.targets');
    assert.match(await page.textContent('main'), /connection refused/);
    await page.click('nav[aria-label=Health] >> text=/down/');
    await page.waitForURL('**health=down');
    assert.equal(await page.locator('table.targets a[data-row]').count(), 1);
    await page.click('button:text-is("More")');
    await page.waitForSelector('dl:has-text("__metrics_path__")');
    await page.goto(`${BASE}/targets`);
    await page.waitForSelector('table.targets');
    await page.keyboard.press('/');
    await page.keyboard.type('web-7');
    await page.waitForURL('**text=web-7');
    await page.waitForFunction(() => document.querySelectorAll('table.targets a[data-row]').length === 1);
    await page.keyboard.press('Escape');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/explore?q1=up**');
    assert.deepEqual(await expressions(page).then(([first]) => first), 'up{job="web", instance="web-7:8080"}');
  },

  async 'the first page tells how machines do'(page) {
    await page.goto(`${BASE}/`);
    await page.waitForSelector('h1:text-is("attic")');
    await page.waitForFunction(() => document.querySelectorAll('.u-over').length === 5);
    assert.match(await page.textContent('main'), /up for 14 d 6 h · 4 cores · 8 GiB of memory · Linux 6\.12\.48/);
    assert.equal(await page.locator('[role=meter]').count(), 3);
    await page.selectOption('#machine', 'cellar:9100');
    await page.waitForURL('**instance=cellar%3A9100');
    await page.waitForSelector('h1:text-is("cellar")');
    await page.click('text="Load"');
    await page.waitForURL('**/explore?q1=**');
    await count(page, 3);
    await page.keyboard.press('Escape');
    await page.keyboard.press('g');
    await page.keyboard.press('h');
    await page.waitForSelector('h1:text-is("attic")');
  },

  async 'without samples, the pages say what to do'(page, context) {
    await mock(context, 'empty');
    await page.goto(`${BASE}/`);
    await page.waitForSelector('text=/No samples of a machine yet/');
    await page.goto(`${BASE}/explore?q1=up`);
    await page.waitForSelector('text=/No series has a sample in this range/');
    await page.goto(`${BASE}/targets`);
    await page.waitForSelector('text="Nothing is scraped."');
    await mock(context, 'without');
    for (const path of ['/', '/targets', '/explore?q1=up']) {
      await page.goto(BASE + path);
      await page.waitForSelector('text=/No metrics are kept here/');
    }
    await mock(context, 'failing=503');
    await page.goto(`${BASE}/explore?q1=up`);
    await page.waitForSelector('text="Try again"');
  },
});
