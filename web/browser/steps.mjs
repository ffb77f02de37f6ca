// What people do with the pages. Each view changes only what no other one looks at.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parseCsv } from './csv.mjs';
import { send } from './sending.mjs';

const nameOf = ({ view }) => view.replace('-', '_');
const rows = (page) => page.locator('table.records tbody tr');

export const STEPS = {
  async 'the list is filtered'(watched) {
    const { page, task } = watched;
    await watched.go('/telemetryui/records');
    await page.waitForSelector('table.records tbody tr');
    await watched.look('records');
    if (watched.isNarrow) await page.click('details.filters summary');
    await page.fill('[name=classification]', 'crash/*');
    await page.press('[name=classification]', 'Enter');
    await page.waitForURL('**classification=org.clearlinux%2Fcrash%2F***');
    await page.selectOption('[name=build]', task.builds[0]);
    await page.waitForURL('**build=34960**');
    await page.waitForFunction(() => [...document.querySelectorAll('td.build b')].every((one) => one.textContent === '34960'));
    await page.selectOption('[name=build]', '');
    await page.waitForFunction((count) => document.querySelectorAll('table.records tbody tr').length === count, task.crashes);
    await watched.look('records-filtered');
  },

  async 'words in payloads are found'(watched) {
    const { page } = watched;
    await watched.go('/telemetryui/records?text=memmove');
    await page.waitForSelector('table.records tbody tr');
    assert.equal(await rows(page).count(), 1);
    await watched.go('/telemetryui/records?text=nobodysaidthis');
    await page.waitForSelector('text=No record fits these filters');
    await watched.look('records-empty');
  },

  async 'payloads are searched with expressions'(watched) {
    const { page } = watched;
    await watched.go('/telemetryui/records');
    await page.waitForSelector('table.records tbody tr');
    if (watched.isNarrow) await page.click('details.filters summary');
    await page.fill('[name=payload]', '#0 mem\\w+\\(\\) - \\[/usr/bin/editor\\]');
    await page.press('[name=payload]', 'Enter');
    await page.waitForURL('**payload=**');
    await page.waitForFunction(() => document.querySelectorAll('table.records tbody tr').length === 1);
    await watched.look('records-pattern');
    await page.fill('[name=not_payload]', 'memmove');
    await page.press('[name=not_payload]', 'Enter');
    await page.waitForSelector('text=No record fits these filters');
    await watched.expecting(400, async () => {
      await page.fill('[name=payload]', 'mem(');
      await page.press('[name=payload]', 'Enter');
      await page.waitForSelector('#payload-problem:not([hidden])');
    });
    await watched.look('records-refused');
  },

  async 'a record is opened'(watched) {
    const { page } = watched;
    await watched.go('/telemetryui/records?text=memmove');
    await page.click('table.records tbody a[data-row]');
    await page.waitForSelector('pre');
    assert.match(await page.textContent('pre'), /#0 memmove\(\) - \[\/usr\/bin\/editor\]/);
    await page.waitForSelector('table.frames');
    await watched.look('record');
    await page.goBack();
    await page.waitForSelector('table.records');
  },

  async 'what is listed is exported'(watched) {
    const { page, task } = watched;
    await watched.go('/telemetryui/records?classification=org.clearlinux%2Fcrash%2F*');
    await page.waitForSelector('table.records tbody tr');
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('text="CSV"')]);
    const [head, ...lines] = parseCsv(readFileSync(await download.path(), 'utf8'));
    assert.deepEqual(head.slice(0, 5), ['id', 'external', 'server_timestamp', 'severity', 'classification']);
    assert.equal(lines.length, task.crashes);
    assert.ok(lines.every((cells) => cells.length === head.length && cells[4] === 'org.clearlinux/crash/clr'));
    assert.ok(lines.some((cells) => cells.at(-1).includes('memmove')));
    const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('text="CSV, here"')]);
    await popup.waitForLoadState();
    assert.match(await popup.evaluate(() => document.body.textContent), /^"id","external"/);
    await popup.close();
  },

  async 'a crash group is commented, resolved and hidden'(watched) {
    const { page } = watched;
    const comment = `seen in ${watched.view}`;
    await watched.go('/telemetryui/crashes?range=30d');
    await page.waitForSelector('table.crashes');
    await watched.look('crashes');
    await page.click(`table.crashes a[data-row]:has-text("talked_about_${nameOf(watched)}")`);
    await page.waitForSelector('#comment');
    await page.fill('#comment', comment);
    await page.click('text="Save comment"');
    await page.waitForSelector('text="Comment saved."');
    await page.click('button:text-is("Resolve")');
    await page.waitForSelector('button:has-text("Reopen")');
    await page.click('button:text-is("Hide")');
    await page.waitForSelector('button:has-text("Unhide")');
    await page.reload();
    await page.waitForSelector('button:has-text("Unhide")');
    assert.equal(await page.inputValue('#comment'), comment);
    await page.waitForSelector('.u-over');
    await watched.look('group');
    await watched.go('/telemetryui/crashes?range=30d');
    await page.waitForSelector('table.crashes');
    assert.equal(await page.locator(`text=${comment}`).count(), 0, 'hidden groups are not listed');
    await page.check('text="Show hidden groups too"');
    await page.waitForSelector(`text=${comment}`);
  },

  async 'a machine of a crash group leads to its backtraces'(watched) {
    const { page, task } = watched;
    const name = 'QQuickItemPrivate::addToDirtyList';
    await watched.go('/telemetryui/crashes?range=30d');
    await page.click(`table.crashes a[data-row]:has-text("${name}")`);
    const cell = page.locator(`table.machines td[data-label="${task.builds[1]}"] a`);
    await cell.waitFor();
    assert.equal(await cell.count(), 1);
    assert.equal(await cell.textContent(), '1');
    await page.waitForSelector('.u-over');
    await watched.look('group-machines');
    await cell.click();
    await page.waitForURL(`**/backtraces?machine_id=*&build=${task.builds[1]}`);
    await page.waitForSelector('article li.guilty');
    assert.equal(await page.locator('article').count(), 1);
    assert.equal(await page.locator('li.guilty').count(), 1);
    const guilty = await page.textContent('li.guilty');
    assert.ok(guilty.includes(name) && guilty.includes('guilty'), guilty);
    assert.equal(await page.textContent('article h2'), '/usr/bin/editor');
    await watched.look('backtraces');
    await page.click('[aria-label="Remove the filter Build"]');
    await page.waitForFunction(() => document.querySelectorAll('article').length === 2);
    await page.click('a.record >> nth=0');
    await page.waitForSelector('pre');
  },

  async 'a frame is never guilty'(watched) {
    const { page } = watched;
    const [noise, culprit] = [`noise_${nameOf(watched)}()`, `culprit_${nameOf(watched)}()`];
    await watched.go('/telemetryui/crashes?range=30d');
    await page.click(`table.crashes a[data-row]:has-text("${noise}")`);
    await page.click(`[aria-label="${noise} is never guilty"]`);
    await page.waitForSelector(`text=Pass over ${noise}`);
    await page.click('text="Never guilty"');
    await page.waitForSelector('text=/Grouped anew: \\d+ records? came to another group/');
    await page.click('.empty >> text=/group \\d+/');
    await page.waitForSelector(`h1:has-text("${culprit}")`);
    await page.waitForSelector('.u-over');
    await watched.look('group-moved');
    await watched.go('/telemetryui/crashes/frames');
    await page.click(`[aria-label^="Remove ${noise}"]`);
    await page.waitForSelector(`[aria-label^="Remove ${noise}"]`, { state: 'detached' });
    await page.waitForSelector('text=/Grouped anew: \\d+ records? came to another group/');
  },

  async 'groups are made one and split again'(watched) {
    const { page } = watched;
    const [part, whole] = [`talked_about_${nameOf(watched)}`, `noise_${nameOf(watched)}`];
    await watched.go('/telemetryui/crashes?range=30d&hidden=true');
    const target = await page.getAttribute(`table.crashes a[data-row]:has-text("${whole}")`, 'href');
    await page.click(`table.crashes a[data-row]:has-text("${part}")`);
    await page.fill('#into', target.split('/').at(-1));
    await page.press('#into', 'Enter');
    await page.waitForSelector('text=Make this group a part of');
    await page.keyboard.press('Enter');
    await page.waitForURL(`**${target}`);
    await page.waitForSelector('text=/Grouped anew: 2 records came to another group/');
    await page.waitForSelector('text="Part of this group"');
    await watched.look('group-merged');
    await page.click(`[aria-label^="Split off ${part}"]`);
    await page.waitForSelector('text="Part of this group"', { state: 'detached' });
    await page.waitForSelector('text=/Grouped anew: 2 records came to another group/');
  },

  async 'a submission leaves the quarantine'(watched) {
    const { page, task } = watched;
    await watched.go('/telemetryui/quarantine');
    const open = async (text) => {
      await page.waitForSelector('summary[data-row]');
      for (const summary of await page.locator('summary[data-row]').all()) {
        await summary.click();
        await page.waitForSelector('details[open] pre');
        if ((await page.textContent('details[open] pre')).includes(text)) return;
        await summary.click();
        await page.waitForSelector('details[open]', { state: 'detached' });
      }
      assert.fail(`nothing in quarantine says ${text}`);
    };
    await open(`wrong ${watched.view}`);
    const whole = await page.textContent('details[open] pre');
    assert.ok(whole.length > task.long && whole.includes(`the end of ${watched.view}`), 'the whole payload is shown');
    await watched.look('quarantine-open');
    await watched.expecting(409, async () => {
      await page.click('details[open] >> text="Make it a record"');
      await page.waitForSelector('text=it is no valid record');
    });
    await page.click('details[open] >> text="Remove"');
    await page.click('details[open] .asks >> text="Remove"');
    await page.waitForSelector('text=/Submission \\d+ is removed/');
    await open(`put aside for ${watched.view}`);
    await page.click('details[open] >> text="Make it a record"');
    await page.click('.gone a');
    await page.waitForSelector('pre');
    assert.match(await page.textContent('pre'), new RegExp(`put aside for ${watched.view}`));
  },

  async 'new records come by themselves'(watched) {
    const { page, task } = watched;
    await watched.go('/telemetryui/records?classification=org.example%2Flive%2Fone');
    const text = `live for ${watched.view}`;
    await page.click('button:has-text("Live")');
    await page.waitForSelector('text="Waiting for records"');
    await send(task, text);
    await page.waitForSelector(`table.records tbody tr:has-text("${text}")`);
    await page.waitForSelector('text="1 new record"');
    await watched.look('records-live');
    await page.click('button:has-text("Live")');
  },
};
