// Uses the pages as people do, in a real browser: keys, filters, paging, live, plots, changes.
//
//   npm run build && node dev/behaviour.mjs [part of a name]

import assert from 'node:assert/strict';
import { metricChecks } from './behaviour-metrics.mjs';
import { launch } from './browser.mjs';
import { LONG_EVENT } from './data.mjs';
import { serve } from './mock.mjs';

const PORT = 4181;
const BASE = `http://127.0.0.1:${PORT}`;
const server = await serve({ port: PORT, still: 'true' });
const browser = await launch();

const checks = {
  async 'keys go to pages, rows and the search field'(page) {
    await page.goto(`${BASE}/telemetryui/?range=30d`);
    await page.waitForSelector('tbody tr');
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('k');
    const first = await page.getAttribute('tbody tr:first-child a[data-row]', 'href');
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), first);
    await page.keyboard.press('Enter');
    await page.waitForURL(`**${first}`);
    await page.keyboard.press('g');
    await page.keyboard.press('c');
    await page.waitForURL('**/telemetryui/crashes');
    await page.keyboard.press('/');
    await page.waitForFunction(() => document.activeElement?.name === 'text');
    await page.keyboard.type('boom');
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog:not([open])', { state: 'attached' });
  },

  async 'filters stand in the address and come back from it'(page) {
    await page.goto(`${BASE}/telemetryui/records`);
    await page.waitForSelector('tbody tr');
    await page.fill('[name=classification]', 'crash/*');
    await page.press('[name=classification]', 'Enter');
    await page.waitForURL('**/records?classification=org.clearlinux%2Fcrash%2F*');
    await page.selectOption('[name=severity]', '3');
    await page.waitForURL('**severity=3**');
    await page.waitForFunction(() => [...document.querySelectorAll('td.severity')].every((cell) => cell.textContent.includes('high')));
    await page.goBack();
    await page.waitForFunction(() => document.querySelector('[name=severity]').value === '');
    await page.fill('[name=classification]', 'a/b');
    await page.press('[name=classification]', 'Enter');
    await page.waitForSelector('#class-problem:not([hidden])');
  },

  async 'payloads are searched with expressions, part by part'(page) {
    await page.goto(`${BASE}/telemetryui/records`);
    await page.waitForSelector('tbody tr');
    await page.fill('[name=payload]', 'PID: \\d+97\\b');
    await page.press('[name=payload]', 'Enter');
    await page.waitForURL('**payload=PID**');
    await page.waitForSelector('text=/Looked at records down to \\d+/');
    assert.ok(await page.locator('tbody tr').count() < 50);
    for (const name of ['CSV', 'CSV, here']) {
      const link = new URL(await page.getAttribute(`a:text-is("${name}")`, 'href'), BASE);
      assert.equal(link.searchParams.get('payload'), 'PID: \\d+97\\b');
    }
    await page.fill('[name=not_payload]', '.');
    await page.press('[name=not_payload]', 'Enter');
    await page.waitForSelector('text=No record fits among those that there was time to look at');
    assert.equal(await page.locator('text=No record fits these filters').count(), 0);
    await page.click('text="Search on"');
    await page.waitForURL('**before=**');
    await page.waitForSelector('text="Search on"');
    await page.click('text="Search on"');
    await page.waitForSelector('text=There is nothing older that fits.');
    await page.click('text="Newest"');
    await page.fill('[name=payload]', '(a ');
    await page.press('[name=payload]', 'Enter');
    await page.waitForSelector('#payload-problem:not([hidden])');
    assert.match(await page.textContent('#payload-problem'), /unterminated group/);
    assert.equal(await page.getAttribute('[name=payload]', 'aria-invalid'), 'true');
    assert.equal(new URL(page.url()).searchParams.get('payload'), '(a ');
    await page.click('[aria-label="Remove the filter Payload matches"]');
    await page.waitForSelector('#payload-problem', { state: 'hidden' });
    await page.waitForURL((url) => url.searchParams.get('not_payload') === '.' && !url.searchParams.has('payload'));
  },

  async 'a record stands in the timeline of its event, however long that is'(page) {
    const records = async (more) => (await (await fetch(`${BASE}/v1/records?event_id=${LONG_EVENT}&limit=1000&${more}`)).json()).records;
    const all = await records('');
    assert.ok(all.length > 600, `${all.length} records`);
    const at = (id) => page.goto(`${BASE}/telemetryui/records/record_details/${id}`);
    const current = 'li[aria-current=true]';
    await at(all.at(-3).id);
    await page.waitForSelector(current);
    assert.equal(await page.textContent('.after >> nth=0'), '+0 s');
    assert.equal(await page.locator('.after').count(), 250 + 3);
    assert.equal(await page.locator(`li:nth-child(3)${current.slice(2)}`).count(), 1);
    await page.click('li:has-text("came between") button');
    await page.waitForFunction(() => document.querySelectorAll('.after').length === 503);
    await at(all[2].id);
    await page.waitForSelector(current);
    assert.equal(await page.textContent(`${current} .after`), '+0 s');
    assert.match(await page.textContent('.after >> nth=0'), /^−\d/);
    const isSeen = await page.locator(current).evaluate((one) => one.offsetTop - one.parentElement.offsetTop < one.parentElement.scrollTop + one.parentElement.clientHeight);
    assert.ok(isSeen, 'the list begins where the current record is');
    for (let shown = 252; shown < all.length; shown = Math.min(shown + 250, all.length)) {
      await page.waitForFunction((count) => document.querySelectorAll('.after').length === count, shown);
      await page.click('li:has-text("came before") button');
    }
    await page.waitForFunction((count) => document.querySelectorAll('.after').length === count, all.length);
    assert.equal(await page.textContent('.after >> nth=0'), '+0 s');
    assert.equal(await page.locator('text=The event has more records').count(), 0);
  },

  async 'pages lead to older records and back'(page) {
    await page.goto(`${BASE}/telemetryui/records`);
    const top = () => page.getAttribute('tbody tr:first-child a[data-row]', 'href');
    await page.waitForSelector('tbody tr');
    const tops = [await top()];
    for (const _ of [1, 2]) {
      await page.click('text=Older');
      await page.waitForFunction((last) => document.querySelector('tbody a[data-row]')?.getAttribute('href') !== last, tops.at(-1));
      tops.push(await top());
    }
    await page.click('text="Newer"');
    await page.waitForFunction((wanted) => document.querySelector('tbody a[data-row]').getAttribute('href') === wanted, tops[1]);
    await page.click('text="Newest"');
    await page.waitForFunction((wanted) => document.querySelector('tbody a[data-row]').getAttribute('href') === wanted, tops[0]);
  },

  async 'going back leads to the row that one came from'(page) {
    await page.goto(`${BASE}/telemetryui/records`);
    await page.waitForSelector('tbody tr');
    await page.evaluate(() => scrollTo(0, 700));
    await page.locator('tbody a[data-row]').nth(30).click();
    await page.waitForSelector('pre');
    assert.equal(await page.evaluate(() => scrollY), 0);
    await page.goBack();
    await page.waitForFunction(() => scrollY > 400);
  },

  async 'a submission in quarantine has an address'(page) {
    await page.goto(`${BASE}/telemetryui/quarantine`);
    await page.click('summary[data-row] >> nth=3');
    await page.waitForURL('**/quarantine?open=897');
    await page.reload();
    await page.waitForSelector('details[open] pre');
  },

  async 'live rows come on top, and wait for who reads further down'(page, context) {
    await mock(context, 'still=no&every=100&breaking');
    await page.goto(`${BASE}/telemetryui/records`);
    await page.waitForSelector('tbody tr');
    await page.click('button:has-text("Live")');
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length > 53, null, { timeout: 15_000 });
    await page.evaluate(() => scrollTo(0, 900));
    const rows = await page.locator('tbody tr').count();
    await page.waitForSelector('button.waiting', { timeout: 15_000 });
    assert.ok((await page.locator('tbody tr').count()) - rows <= 3);
    await page.click('button.waiting');
    await page.waitForFunction((before) => document.querySelectorAll('tbody tr').length > before && scrollY < 100, rows);
  },

  async 'a live list that breaks before its first record goes on from where it began'(page, context) {
    const asked = [];
    await context.route('**/v1/records/tail*', (route) => {
      asked.push(new URL(route.request().url()).searchParams.get('after'));
      const begin = { contentType: 'text/event-stream', body: 'retry: 50\nevent: begin\nid: 4242\ndata:\n\n' };
      return route.fulfill(asked.length === 1 ? begin : { status: 503 });
    });
    await page.goto(`${BASE}/telemetryui/records?machine_id=nobody`);
    await page.click('button:has-text("Live")');
    await page.waitForSelector('text="Connection lost, trying again …"');
    while (asked.length < 3) await page.waitForTimeout(100);
    assert.equal(asked[0], null);
    assert.equal(asked[2], '4242');
  },

  async 'a plot can be read by keyboard, as a table, and in parts'(page) {
    await page.goto(`${BASE}/telemetryui/stats?range=7d`);
    await page.waitForSelector('.u-over');
    const plot = page.locator('[role=slider]').first();
    await plot.focus();
    await page.keyboard.press('End');
    assert.match(await plot.getAttribute('aria-valuetext'), /^\d+ \w+: heartbeat\/ping \d+/);
    assert.ok(await page.isVisible('.tooltip'));
    await page.click('button[aria-pressed=true]:has-text("heartbeat/ping")');
    assert.ok(!(await plot.getAttribute('aria-valuetext')).includes('heartbeat'));
    await page.click('text="Show as table" >> nth=0');
    assert.equal(await page.locator('section.plot >> nth=0').locator('tbody tr').count(), 8);
  },

  async 'a chosen theme stays'(page) {
    await page.goto(`${BASE}/telemetryui/stats`);
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.selectOption('#theme', 'dark');
    const dark = await ground();
    assert.notEqual(light, dark);
    await page.reload({ waitUntil: 'commit' });
    await page.waitForSelector('body');
    assert.equal(await ground(), dark);
  },

  async 'a group can be commented, resolved and hidden'(page) {
    await page.goto(`${BASE}/telemetryui/crashes/guilty_details/3`);
    await page.fill('#comment', 'see ticket 12');
    await page.click('text="Save comment"');
    await page.waitForSelector('text="Comment saved."');
    await page.click('text="Resolve"');
    await page.waitForSelector('button:has-text("Reopen")');
    await page.click('text="Hide"');
    await page.waitForSelector('button:has-text("Unhide")');
    await page.reload();
    await page.waitForSelector('button:has-text("Unhide")');
    assert.equal(await page.inputValue('#comment'), 'see ticket 12');
  },

  async 'a count of a machine and a build leads to its backtraces'(page) {
    await page.goto(`${BASE}/telemetryui/crashes/guilty_details/2`);
    const cell = page.locator('table.machines td.heat a').first();
    const [count, href] = [Number(await cell.textContent()), await cell.getAttribute('href')];
    await cell.click();
    await page.waitForURL(`**${href}`);
    await page.waitForSelector('article');
    assert.equal(await page.locator('article').count(), count);
    const guilty = page.locator('article li.guilty');
    assert.equal(await guilty.count(), count);
    assert.match(await guilty.first().textContent(), /g_type_check_instance_cast\s*guilty/);
    assert.equal(await page.inputValue('[name=machine_id]'), new URL(href, BASE).searchParams.get('machine_id'));
    await page.click('[aria-label="Remove the filter Machine"]');
    await page.waitForURL((url) => !url.searchParams.has('machine_id') && url.searchParams.has('build'));
    await page.selectOption('[name=build]', '');
    await page.waitForURL((url) => url.search === '');
    await page.waitForSelector('text=These are the newest 50.');
    await page.keyboard.press('Escape');
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    const second = await page.locator('a.record').nth(1).getAttribute('href');
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), second);
    await page.fill('[name=machine_id]', 'nobody');
    await page.press('[name=machine_id]', 'Enter');
    await page.waitForSelector('text=No backtrace of this group fits these filters');
    await page.click('h1 a');
    await page.waitForURL('**/guilty_details/2');
  },

  async 'a frame is never guilty, and its records come to another group'(page) {
    await page.goto(`${BASE}/telemetryui/crashes/guilty_details/1`);
    const button = page.locator('[aria-label="inner is never guilty"]');
    await button.click();
    await page.waitForSelector('text=Pass over inner of demo from now on?');
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => document.activeElement?.ariaLabel === 'inner is never guilty');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement?.textContent === 'Never guilty');
    await page.keyboard.press('Enter');
    await page.waitForSelector('text=/Grouping anew: [\\d,]+ of [\\d,]+ records, \\d+ moved/');
    assert.ok(await page.locator('.regroup').evaluate((one) => one.getBoundingClientRect().bottom <= innerHeight));
    await page.waitForSelector('text=/Grouped anew: \\d+ records came to another group/');
    await page.waitForSelector('text=This group is empty');
    await page.click('.empty >> text=/group \\d+/');
    await page.waitForSelector('h1:has-text("g_signal_emit_valist")');
    assert.ok(await page.isVisible('tr:has-text("inner") >> text="never guilty"'));
  },

  async 'frames that are never guilty can be added and removed'(page) {
    await page.goto(`${BASE}/telemetryui/crashes/guilty_edit/add`);
    await page.waitForURL('**/telemetryui/crashes/frames');
    await page.waitForSelector('[aria-label="Remove raise of libc.so.6"]');
    await page.fill('[name=function]', 'raise');
    await page.fill('[name=module]', ' libc.so.6');
    await page.press('[name=module]', 'Enter');
    await page.waitForSelector('text=This frame is in the list already.');
    await page.fill('[name=function]', 'abort');
    await page.click('text="Add"');
    await page.waitForSelector('[aria-label="Remove abort of libc.so.6"]');
    assert.equal(await page.inputValue('[name=function]'), '');
    const asked = [];
    page.on('request', (request) => request.method() === 'GET' && asked.push(new URL(request.url()).pathname));
    await page.click('[aria-label="Remove abort of libc.so.6"]');
    await page.waitForSelector('[aria-label="Remove abort of libc.so.6"]', { state: 'detached' });
    await page.waitForSelector('text=Grouping anew');
    await page.waitForSelector('text=Grouped anew: no record came to another group.');
    assert.ok(asked.includes('/v1/records/regroup'));
    assert.ok(asked.filter((path) => path.endsWith('/skipped-frames')).length <= 1, 'the list is asked for at the end');
    await page.click('text="Close"');
    await page.waitForSelector('.regroup', { state: 'detached' });
    await page.click('.trail a');
    await page.click('text="Frames that are never guilty"');
    await page.waitForSelector('h1:has-text("Frames that are never guilty")');
    await page.goto(`${BASE}/telemetryui/crashes/guilty_edit/hidden`);
    await page.waitForURL('**/telemetryui/crashes?hidden=true');
  },

  async 'groups are made one and split again'(page) {
    await page.goto(`${BASE}/telemetryui/crashes/guilty_details/9`);
    await page.waitForSelector('#groups option[label^="g_type_check_instance_cast,"]', { state: 'attached' });
    await page.fill('#into', 'nothing like it');
    await page.click('text="Merge"');
    await page.waitForSelector('text=Write the number of a group');
    await page.fill('#into', '9');
    await page.press('#into', 'Enter');
    await page.waitForSelector('text=That is this group itself.');
    await page.fill('#into', 'g_type_check_instance_cast');
    await page.press('#into', 'Enter');
    await page.waitForSelector('text=Make this group a part of group 2, g_type_check_instance_cast?');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/crashes/guilty_details/2');
    await page.waitForSelector('text="Part of this group"');
    await page.waitForSelector('text=Grouping anew');
    await page.waitForSelector('text=/Grouped anew: \\d+ records? came/');
    await page.click('[aria-label="Split off QQuickItemPrivate::addToDirtyList"]');
    await page.waitForSelector('text="Part of this group"', { state: 'detached' });
    await page.waitForSelector('text=Grouping anew');
    await page.waitForSelector('text=/Grouped anew: \\d+ records? came/');
  },

  async 'a submission leaves the quarantine as a record, or for good'(page) {
    await page.goto(`${BASE}/telemetryui/quarantine`);
    const open = async (reason) => {
      await page.locator('summary[data-row]', { has: page.locator(`code:text-is("${reason}")`) }).first().click();
      await page.waitForURL('**open=**');
      return new URL(page.url()).searchParams.get('open');
    };
    await open('kernel_version');
    await page.click('details[open] >> text="Make it a record"');
    await page.waitForSelector('text=it is no valid record: kernel version is invalid');
    await page.goto(`${BASE}/telemetryui/quarantine`);
    const released = await open('board_name');
    await page.click('details[open] >> text="Make it a record"');
    await page.waitForSelector(`text=Submission ${released} is record`);
    assert.ok(!page.url().includes('open='));
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'SUMMARY');
    const removed = await open('arch');
    const count = await page.locator('summary[data-row]').count();
    await page.click('details[open] >> text="Remove"');
    await page.click('details[open] .asks >> text="Remove"');
    await page.waitForSelector(`text=Submission ${removed} is removed.`);
    assert.equal(await page.locator('summary[data-row]').count(), count - 1);
    await page.goto(`${BASE}/telemetryui/quarantine`);
    await page.waitForSelector('summary[data-row]');
    assert.equal(await page.locator('summary[data-row]').count(), 50);
  },

  async 'the range chooses a window of the population'(page) {
    await page.goto(`${BASE}/telemetryui/population?days=14`);
    const current = '[aria-label="Time range"] [aria-current]';
    await page.waitForSelector('h2:has-text("in the last 14 days")');
    assert.equal(await page.textContent(current), '14 d');
    await page.click('[aria-label="Time range"] >> text="All"');
    await page.waitForURL('**/population?range=all');
    await page.waitForSelector('h2:has-text("at any time")');
    await page.goto(`${BASE}/telemetryui/population?range=30d`);
    await page.waitForSelector('text=The shortest that covers this range is shown: at any time.');
    assert.equal(await page.textContent(current), '30 d');
  },

  async 'a range of the quarantine is asked of the server'(page) {
    await page.goto(`${BASE}/telemetryui/quarantine?open=897`);
    await page.waitForSelector('summary[data-row]');
    const asked = page.waitForRequest((request) => new URL(request.url()).searchParams.has('from'));
    await page.click('[aria-label="Time range"] >> text="24 h"');
    assert.match(new URL((await asked).url()).searchParams.get('from'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:00Z$/);
    await page.waitForFunction(() => document.querySelectorAll('summary[data-row]').length < 50);
    await page.goto(`${BASE}/telemetryui/quarantine?since=2020-01-01T00:00:00Z&until=2020-02-01T00:00:00Z`);
    await page.waitForSelector('text=There is nothing in quarantine received from 2020-01-01 00:00 UTC until 2020-02-01 00:00 UTC.');
  },

  async 'the population says on how many machines nothing crashed'(page) {
    await page.goto(`${BASE}/telemetryui/population?days=14`);
    const row = page.locator('table.bars tbody tr').first();
    await row.locator('td:last-child:has-text("%")').waitFor();
    assert.match(await row.locator('td').last().textContent(), /^(\d+\.\d|100) %$/);
    assert.match(await row.getAttribute('title'), /\d+ with crashes, [\d.]+ % crash-free$/);
  },

  async 'the population is shown without its crashes, too'(page, context) {
    await context.route('**/v1/records/crash-free*', (route) => route.fulfill({ status: 503, json: { error: { code: 'unavailable', message: 'the store does not answer' } } }));
    await page.goto(`${BASE}/telemetryui/population?range=3d`);
    await page.waitForSelector('text=Could not load on how many machines something crashed');
    assert.equal(await page.locator('table.bars tbody tr td:last-child').first().textContent(), '–');
    const asked = page.waitForRequest((request) => request.url().endsWith('/crash-free?days=3'));
    await context.unroute('**/v1/records/crash-free*');
    await page.click('text="Try again"');
    await asked;
    await page.waitForSelector('table.bars tbody tr td:last-child:has-text("%")');
  },

  async 'a group that regressed says in which build'(page) {
    await page.goto(`${BASE}/telemetryui/crashes/guilty_details/1`);
    await page.waitForSelector('.head:has-text("regressed in build 34960")');
    await page.waitForSelector('dl.facts div:has-text("Regressed"):has-text("in build 34960")');
    await page.goto(`${BASE}/telemetryui/crashes/guilty_details/9`);
    await page.waitForSelector('.head >> text="regressed"');
    assert.equal(await page.locator('.head:has-text("in build")').count(), 0);
  },

  async 'crashes of one build are asked of the server'(page) {
    const asked = page.waitForRequest((request) => new URL(request.url()).searchParams.get('build') === '34920');
    await page.goto(`${BASE}/telemetryui/crashes/34920?range=90d`);
    await asked;
    await page.waitForSelector('td.heat[data-label="34920"]');
    assert.equal(await page.locator('td.none[data-label="34920"]').count(), 0);
  },

  async 'what no role allows is said so where a frame is'(page, context) {
    await mock(context, 'refusing=403');
    await page.goto(`${BASE}/telemetryui/crashes/guilty_details/4`);
    await page.click('[aria-label="main is never guilty"]');
    await page.click('text="Never guilty"');
    await page.waitForSelector('text=Could not pass over this frame: no role of yours allows this.');
    await page.waitForSelector('[aria-label="main is never guilty"]');
  },

  async 'what no role allows is said so, and the comment is kept'(page, context) {
    await mock(context, 'refusing=403');
    await page.goto(`${BASE}/telemetryui/crashes/guilty_details/4`);
    await page.fill('#comment', 'mine');
    await page.click('text="Save comment"');
    await page.waitForSelector('text=no role of yours allows this');
    assert.equal(await page.inputValue('#comment'), 'mine');
  },

  async 'without a session the page leads to sign-in and knows the way back'(page, context) {
    await mock(context, 'failing=401');
    await page.goto(`${BASE}/telemetryui/crashes?range=30d`);
    await page.waitForURL(`**/login?to=${encodeURIComponent('/telemetryui/crashes?range=30d')}`);
  },

  async 'what failed can be tried again'(page, context) {
    await mock(context, 'failing=503');
    await page.goto(`${BASE}/telemetryui/population`);
    await page.waitForSelector('text=the store does not answer');
    await context.clearCookies();
    await page.click('text="Try again"');
    await page.waitForSelector('table.bars');
  },

  async 'a range of one\'s own'(page) {
    await page.goto(`${BASE}/telemetryui/stats`);
    await page.click('summary:has-text("Custom")');
    await page.fill('[name=since]', '2026-11-01T00:00');
    await page.fill('[name=until]', '2026-10-01T00:00');
    await page.click('text="Show"');
    await page.waitForSelector('text=The end has to be after the beginning.');
    await page.fill('[name=until]', '2026-11-08T00:00');
    await page.click('text="Show"');
    await page.waitForURL('**/stats?since=2026-11-01T00%3A00%3A00Z&until=2026-11-08T00%3A00%3A00Z');
    await page.click('nav.pages >> text="Builds"');
    await page.waitForURL('**/builds?since=**');
  },

  async 'a class of records has a view'(page) {
    await page.goto(`${BASE}/telemetryui/mce`);
    await page.waitForSelector('table.machines');
    await page.waitForSelector('text="Records per week"');
    await page.waitForSelector('th:text-is("00010091")');
    await page.click('text="By day"');
    await page.waitForSelector('text="Records per day"');
    await page.click('table.bars a:text-is("mce/thermal")');
    await page.waitForSelector('h1:text-is("Thermal events")');
    assert.equal(await page.locator('text="Status codes"').count(), 0);
    const machine = page.locator('table.machines a[data-row]').first();
    const id = await machine.textContent();
    await machine.click();
    await page.waitForURL('**/records?classification=org.clearlinux%2Fmce%2Fthermal&machine_id=**');
    await page.waitForFunction((wanted) => [...document.querySelectorAll('td.machine')].every((one) => one.textContent.trim() === wanted) && document.querySelector('td.machine'), id);
  },

  async 'crash groups are drawn over builds'(page) {
    await page.goto(`${BASE}/telemetryui/crashes?range=30d`);
    await page.waitForSelector('.u-over');
    const plot = page.locator('[role=slider]');
    await plot.focus();
    await page.keyboard.press('End');
    assert.match(await plot.getAttribute('aria-valuetext'), /^Build \d+: \w+ \d+, .*other groups \d+$/);
  },

  async 'runs are searched, and chosen for a comparison on two pages'(page) {
    await page.goto(`${BASE}/runs`);
    await page.waitForSelector('table.groups tbody tr');
    await page.keyboard.press('g');
    await page.keyboard.press('u');
    await page.waitForURL('**/runs?view=runs');
    await page.waitForSelector('table.runs tbody tr');
    await page.keyboard.press('/');
    await page.waitForFunction(() => document.activeElement?.name === 'text');
    await page.keyboard.type('nightly');
    await page.keyboard.press('Enter');
    await page.waitForURL('**text=nightly');
    await page.click('tbody tr:nth-child(1) input');
    await page.click('text="Older"');
    await page.waitForSelector('text="This is the oldest page."');
    await page.click('tbody tr:nth-child(1) input');
    await page.click('text="Compare"');
    await page.waitForSelector('table.sides mark');
    await page.goBack();
    await page.click('[aria-label="Remove the filter Text"]');
    await page.waitForURL((url) => url.pathname === '/runs' && url.search === '?view=runs');
    await page.selectOption('[name=status]', 'failed');
    await page.waitForFunction(() => [...document.querySelectorAll('td.status')].every((cell) => cell.textContent.includes('failed')));
    await page.fill('[name=field]', 'half');
    await page.press('[name=field]', 'Enter');
    await page.waitForSelector('#field-problem:not([hidden])');
  },

  async 'rows of runs are opened by keys, and folders have pages'(page) {
    await page.goto(`${BASE}/runs/default`);
    await page.waitForSelector('table.runs tbody tr');
    for (const key of ['j', 'j', 'j', 'k']) await page.keyboard.press(key);
    const second = await page.getAttribute('tbody tr:nth-child(2) a[data-row]', 'href');
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), second);
    await page.keyboard.press('Enter');
    await page.waitForURL(`**${second}`);
    await page.click('a:text-is("results/")');
    await page.click('a:text-is("pods/")');
    await page.waitForFunction(() => document.querySelectorAll('table.files tbody tr').length === 200);
    const first = () => page.textContent('table.files tbody th');
    assert.match(await first(), /pod-00000/);
    await page.click('text="Next"');
    await page.waitForFunction(() => document.querySelector('table.files tbody th').textContent.includes('pod-00200'));
    await page.click('text="Next"');
    await page.waitForFunction(() => document.querySelector('table.files tbody th').textContent.includes('pod-00400'));
    await page.click('text="Back"');
    await page.waitForFunction(() => document.querySelector('table.files tbody th').textContent.includes('pod-00200'));
    await page.click('.trail >> text="results"');
    await page.waitForSelector('a:text-is("krkn.log.gz")');
  },

  async 'a change that is refused says why'(page, context) {
    await page.goto(`${BASE}/runs/performance?view=settings`);
    await page.waitForSelector('#retention');
    await mock(context, 'refusing=403');
    await page.fill('#quota', '20GiB');
    await page.click('text="Save quota"');
    await page.waitForSelector('text=Could not change the group: no role of yours allows this');
    assert.equal(await page.inputValue('#quota'), '20GiB');
  },

  async 'a log is read on, and members are found'(page) {
    await page.goto(`${BASE}/runs?view=runs`);
    const run = await page.getAttribute('tbody tr:nth-child(4) a[data-row]', 'href');
    await page.goto(`${BASE}${run}/results/krkn.log.gz`);
    await page.waitForSelector('.numbers');
    const lines = () => page.evaluate(() => document.querySelector('.numbers').textContent.split('\n').length);
    const before = await lines();
    await page.click('text="Read on"');
    await page.waitForFunction((count) => document.querySelector('.numbers').textContent.split('\n').length > count, before);
    assert.equal(await page.evaluate(() => document.querySelector('.lines').textContent.split('\n').length), await lines());
    await page.goto(`${BASE}${run}/prometheus.tar`);
    await page.waitForSelector('table.members');
    await page.keyboard.press('/');
    await page.keyboard.type('00000700.log');
    await page.waitForSelector('text=No member among those that were read');
    await page.keyboard.press('Escape');
    await page.click('text="Read more members"');
    await page.waitForSelector('table.members a:has-text("00000700.log")');
    await page.click('table.members a');
    await page.waitForURL('**member=prometheus%2Fwal%2F00000700.log&at=358400');
    await page.waitForSelector('.lines');
    await page.goto(`${BASE}${run}/telemetry.json`);
    await page.click('.tree summary:has-text("experiment")');
    await page.waitForSelector('text="team-chaos"', { state: 'detached' });
    await page.click('.tree summary:has-text("experiment")');
    await page.waitForSelector('.tree >> text=team-chaos');
  },

  async 'an old bookmark leads to what it meant'(page) {
    await page.goto(`${BASE}/telemetryui/crashes/guilty_edit/hidden`);
    await page.waitForURL('**/crashes?hidden=true');
    await page.waitForSelector('tbody tr');
  },
};

const mock = (context, options) =>
  context.addCookies([{ name: 'mock', value: encodeURIComponent(options), url: BASE }]);

const only = process.argv[2] ?? '';
let failures = 0;
for (const [name, check] of Object.entries({ ...checks, ...metricChecks(BASE, mock) })) {
  if (!name.includes(only)) continue;
  const context = await browser.newContext({ colorScheme: 'light' });
  const page = await context.newPage();
  page.setDefaultTimeout(5_000);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (/security policy|svelte\.dev/i.test(message.text())) errors.push(message.text());
  });
  try {
    await check(page, context);
    assert.deepEqual(errors, []);
    console.log(`ok      ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED  ${name}\n${error.message}\n`);
  }
  await context.close();
}
await browser.close();
server.closeAllConnections();
server.close();
process.exitCode = failures === 0 ? 0 : 1;
