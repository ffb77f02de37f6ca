// What people do with the pages of artefacts. Each view changes only its own group.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const path = (...names) => `/runs/${names.map(encodeURIComponent).join('/')}`;
const OLD = '17900003-run-3';
const NEW = '17900004-run-4';
const own = ({ view }) => `own-${view}`;
const texts = (page, selector) => page.locator(selector).allTextContents();

/** The text of a file, as the link of the page gives it. */
async function downloaded(page, click) {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  return readFileSync(await download.path());
}

/** One more attempt of the client that tries for ever; those of minutes ago are history. */
async function refused(task) {
  const base = `http://127.0.0.1:${task.port}`;
  const asked = await fetch(`${base}/presigned-url?request_id=full%2F1-large&remote_filename=large.tar`);
  const answer = await fetch(await asked.text(), { method: 'PUT', body: 'x'.repeat(2_048) });
  assert.equal(answer.status, 507);
}

export const RUN_STEPS = {
  async 'groups are shown, and who tries again'(watched) {
    const { page, task } = watched;
    await refused(task);
    await watched.go('/runs');
    await page.waitForSelector('table.groups tbody tr');
    const names = await texts(page, 'table.groups tbody th a');
    assert.ok(names.includes(task.runs.group) && names.includes(own(watched)), names.join());
    await page.waitForSelector('.alarm:has-text("full/1-large/large.tar")');
    assert.match(await page.textContent('.alarm'), /InsufficientStorage 507.*raise the quota|raise the quota.*InsufficientStorage 507/s);
    assert.ok(await page.locator('[role=meter]').count() > 2);
    await watched.look('run-groups');
    await page.keyboard.press('g');
    await page.keyboard.press('u');
    await page.waitForSelector('table.runs tbody tr');
    await watched.look('runs');
  },

  async 'runs are searched, by an address that can be shared'(watched) {
    const { page, task } = watched;
    await watched.go('/runs');
    await page.fill('#find', 'RUN-');
    await page.press('#find', 'Enter');
    await page.waitForURL('**/runs?view=runs&text=RUN-');
    await page.waitForFunction(() => document.querySelectorAll('table.runs tbody tr').length === 4);
    if (watched.isNarrow) await page.click('details.filters summary');
    await page.fill('[name=tag]', 'nightly');
    await page.press('[name=tag]', 'Enter');
    await page.waitForFunction(() => document.querySelectorAll('table.runs tbody tr').length === 2);
    await page.selectOption('[name=status]', 'failed');
    await page.waitForFunction(() => document.querySelectorAll('table.runs tbody tr').length === 1);
    await page.fill('[name=field]', 'network_plugin');
    await page.press('[name=field]', 'Enter');
    await page.waitForSelector('#field-problem:not([hidden])');
    await page.fill('[name=field]', 'network_plugin:OVNKubernetes');
    await page.press('[name=field]', 'Enter');
    await page.waitForURL('**field=network_plugin**');
    await watched.look('runs-filtered');
    await page.reload();
    await page.waitForSelector('table.runs tbody tr');
    assert.equal(await page.locator('table.runs tbody tr').count(), 1);
    for (const [query, count] of [['version=4.16.3', 1], ['scenario=scenarios%2Fpod_kill.yml', 4], [`state=open&group=${own(watched)}`, 2], ['pinned=true&text=run-', 0], ['since=2030-01-01T00:00:00Z&view=runs', 0]]) {
      await watched.go(`/runs?${query}`);
      await page.waitForSelector(count === 0 ? 'text=No run fits' : 'table.runs tbody tr');
      assert.equal(await page.locator('table.runs tbody tr').count(), count, query);
    }
    await watched.look('runs-none');
    await watched.go(path(task.runs.group));
    await page.waitForSelector('table.runs tbody tr');
    assert.equal(await page.locator('table.runs tbody tr').count(), 4);
    await watched.look('runs-of-group');
  },

  async 'a run is pinned, and removed after a question'(watched) {
    const { page } = watched;
    await watched.go(path(own(watched), '1-keep'));
    await page.click('button:text-is("Pin")');
    await page.waitForSelector('text=Pinned: it is kept');
    await page.reload();
    await page.waitForSelector('button:text-is("Unpin")');
    assert.equal(await page.locator('button:text-is("Remove")').count(), 0);
    await watched.look('run-pinned');
    await watched.go(`/runs?pinned=true&group=${own(watched)}`);
    await page.waitForSelector('table.runs tbody tr:has-text("pinned")');
    await watched.go(path(own(watched), '1-keep'));
    await page.click('button:text-is("Unpin")');
    await page.waitForSelector('button:text-is("Remove")');
    await watched.go(path(own(watched), '2-remove'));
    await page.click('button:text-is("Remove")');
    await page.waitForSelector('text=Nobody can bring it back');
    await watched.look('run-asks');
    await page.click('text="Cancel"');
    await page.click('button:text-is("Remove")');
    await page.click('text="Remove it"');
    await page.waitForURL(`**${path(own(watched))}`);
    await page.waitForFunction(() => document.querySelectorAll('table.runs tbody tr').length === 1);
  },

  async 'a group is given other limits'(watched) {
    const { page } = watched;
    const group = own(watched);
    await watched.go(`${path(group)}?view=settings`);
    await page.waitForSelector('text=as configured (90 d)');
    await page.fill('#retention', 'soon');
    await page.click('text="Save retention"');
    await page.waitForSelector('#retention-problem:not([hidden])');
    await page.fill('#retention', '30d');
    await page.click('text="Save retention"');
    await page.waitForSelector('text="Retention saved."');
    await page.fill('#quota', '10MiB');
    await page.click('text="Save quota"');
    await page.waitForSelector('text="Quota saved."');
    await page.click('text="Pin the group"');
    await page.waitForSelector('text="Unpin the group"');
    await page.reload();
    await page.waitForSelector('text="Unpin the group"');
    assert.deepEqual([await page.inputValue('#retention'), await page.inputValue('#quota')], ['30d', '10MiB']);
    await watched.look('group-settings');
    await page.click('text="Unpin the group"');
    await page.waitForSelector('text="Pin the group"');
    await watched.go('/runs');
    await page.waitForSelector(`table.groups tr:has-text("${group}"):has-text("10 MiB"):has-text("30 d")`);
  },

  async 'files are listed by folders and pages, and downloaded'(watched) {
    const { page, task } = watched;
    const run = path(task.runs.group, NEW);
    await watched.go(run);
    await page.waitForSelector('table.files tbody tr');
    const names = await texts(page, 'table.files tbody th a');
    assert.deepEqual(names.slice(0, 2), ['prometheus.tar', 'results/']);
    await watched.look('run');
    assert.equal(String(await downloaded(page, () => page.click('[aria-label="Download notes.txt"]'))), 'the second version\n');
    const whole = await downloaded(page, () => page.click('text="All as one tar"'));
    assert.ok(whole.includes('the second version') && whole.includes('prometheus-00.tar'));
    await page.click('table.files a:text-is("results/")');
    await page.waitForURL('**folder=results**');
    await page.waitForSelector('table.files a:text-is("krkn.log.gz")');
    await watched.look('run-folder');
    await watched.go(`${path(task.runs.group, OLD)}?folder=pods%2F`);
    await page.waitForSelector('table.files tbody tr');
    assert.equal(await page.locator('table.files tbody tr').count(), 200);
    await page.click('.pager >> text="Next"');
    await page.waitForFunction((count) => document.querySelectorAll('table.files tbody tr').length === count, task.runs.files - 200);
    await page.waitForSelector('text="This is the last page."');
  },

  async 'a report is read'(watched) {
    const { page, task } = watched;
    await watched.go(path(task.runs.group, '17900002-run-2'));
    await page.click('nav >> text="Report"');
    await page.waitForSelector('section:has-text("Pods that did not recover"):has-text("etcd-guard-3")');
    const report = await page.textContent('main');
    for (const part of ['4.16.2', 'scenarios/pod_kill.yml', '14.5 s', '2 min 46 s', 'worker-7', 'm6i.2xlarge', 'etcdMembersDown', 'OVNKubernetes', 'What tomorrow brings']) {
      assert.ok(report.includes(part), `the report says ${part}`);
    }
    await page.click('section >> nth=0 >> summary:has-text("Parameters")');
    await page.click('section >> nth=0 >> summary:has-text("config")');
    await page.waitForSelector('text="openshift-etcd" >> nth=0');
    await watched.look('run-report');
    await watched.expecting(404, async () => {
      await watched.go(`${path(own(watched), '1-keep')}?view=report`);
      await page.waitForSelector('text=No telemetry of this run has come');
    });
    await watched.look('run-without-report');
  },

  async 'recovery times are drawn and told'(watched) {
    const { page, task } = watched;
    await watched.go(`${path(task.runs.group)}?view=recovery`);
    await page.waitForSelector('.u-over');
    assert.match(await page.textContent('dl.rates'), /75\.0 %.*3 of 4 runs/);
    await page.locator('[role=slider]').focus();
    await page.keyboard.press('End');
    assert.match(await page.getAttribute('[role=slider]', 'aria-valuetext'), /^17900004-run-4, passed: .*pod_kill.yml 16.5 s/);
    await watched.look('recovery');
    assert.equal(await page.locator('table:has(caption:has-text("newest first")) tbody tr').count(), 8);
    await page.selectOption('#scenario', 'scenarios/node_stop.yml');
    await page.waitForURL('**scenario=**');
    await page.waitForFunction(() => document.querySelectorAll('table.rows tbody tr').length === 5);
    await page.locator('[role=slider]').focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/17900001-run-1?view=report');
  },

  async 'one looks into archives, logs, JSON and pictures'(watched) {
    const { page, task } = watched;
    const file = (...names) => path(task.runs.group, NEW, ...names);
    await watched.go(file('prometheus.tar'));
    await page.waitForSelector('table.members tbody tr');
    assert.equal(await page.locator('table.members tbody tr').count(), 3);
    await page.fill('#filter', 'WAL 2.log');
    await page.waitForFunction(() => document.querySelectorAll('table.members tbody tr').length === 1);
    await watched.look('file-archive');
    await page.click('table.members a');
    await page.waitForSelector('.lines:has-text("the second segment")');
    await watched.look('file-member');
    await page.goBack();
    await page.waitForSelector('table.members');
    await watched.go(file('results', 'krkn.log.gz'));
    await page.waitForSelector('text=Unpacked here');
    assert.match(await page.textContent('.numbers'), /^1\n2\n3\n/);
    await watched.look('file-log');
    while (await page.locator('button:text-is("Read on")').count() > 0) {
      await page.click('button:text-is("Read on")');
      await page.waitForSelector('text="Reading …"', { state: 'detached' });
    }
    await page.waitForSelector(`text=${task.runs.lines.toLocaleString('en')} lines`);
    assert.ok((await page.textContent('.lines')).endsWith(`step ${task.runs.lines} of the recovery is done`));
    await page.check('text="Wrap lines"');
    await page.waitForSelector('.is-wrapped li');
    await watched.go(file('results', 'report.json'));
    await page.waitForSelector('.tree summary:has-text("steps")');
    await watched.look('file-json');
    await page.click('text="Show as text"');
    await page.waitForSelector('.lines:has-text("kill")');
    await watched.go(file('console.png'));
    await page.waitForFunction(() => document.querySelector('main img')?.naturalWidth === 48);
    await watched.look('file-picture');
    await watched.go(file('core.bin'));
    await page.waitForSelector('pre:has-text("0000  00 01 02 ff")');
    await watched.look('file-binary');
  },

  async 'an older version is looked at and downloaded'(watched) {
    const { page, task } = watched;
    await watched.go(`${path(task.runs.group, NEW)}/notes.txt`);
    await page.waitForSelector('.lines:has-text("the second version")');
    await page.click('summary:has-text("2 versions")');
    await page.waitForSelector('table:has(caption:has-text("Versions of")) tbody tr:nth-child(2)');
    await page.click('table:has(caption:has-text("Versions of")) tbody tr:nth-child(2) a[data-row]');
    await page.waitForSelector('.lines:has-text("the first version")');
    await watched.look('file-version');
    assert.equal(String(await downloaded(page, () => page.click('text="Download it"'))), 'the first version\n');
  },

  async 'two runs are compared'(watched) {
    const { page, task } = watched;
    await watched.go(path(task.runs.group));
    await page.check(`[aria-label="Choose ${task.runs.group}/${OLD} for a comparison"]`);
    await page.waitForSelector('text=Choose a second run');
    await page.check(`[aria-label="Choose ${task.runs.group}/${NEW} for a comparison"]`);
    await page.click('text="Compare"');
    await page.waitForSelector('table.sides mark:text-is("4.16.3")');
    await page.waitForSelector('tr.left_only:has-text("only-here.txt")');
    await page.waitForSelector('tr.right_only:has-text("core.bin")');
    await page.waitForSelector('tr.changed:has-text("notes.txt")');
    assert.equal(await page.locator('table.sides tr:has-text("Network plugin")').count(), 0, 'what is the same is left out');
    await watched.look('compare');
    await page.check('text="Show what is the same, too"');
    await page.waitForSelector('table.sides tr:has-text("Network plugin")');
    await page.click('text="Swap sides"');
    await page.waitForSelector('tr.right_only:has-text("only-here.txt")');
  },

  async 'plain lists lead to the pages'(watched) {
    const { page, task } = watched;
    await watched.go(`/files/${encodeURIComponent(task.runs.group)}/${NEW}/results/`);
    await page.click('text=This run with its report');
    await page.waitForSelector('table.files a:text-is("krkn.log.gz")');
    await watched.go('/');
    await page.click('text="Artefacts of test runs"');
    await page.waitForSelector('table.groups');
  },
};
