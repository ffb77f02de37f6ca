// Pages that are looked at as they are: name, path, and what is there once it is complete.

export const VISITS = [
  ['builds', '/telemetryui/builds', 'table.bars'],
  ['statistics', '/telemetryui/stats', '.u-over'],
  ['machine-checks', '/telemetryui/mce', 'table.machines'],
  ['thermal', '/telemetryui/thermal', 'table.machines'],
  ['class', '/telemetryui/class?classification=org.clearlinux%2Fswupd-client%2Fupdate', 'table.machines'],
  ['population', '/telemetryui/population', 'table.bars'],
  ['crashes-of-a-build', '/telemetryui/crashes/34970?range=30d', 'table.crashes'],
  ['frames', '/telemetryui/crashes/frames', 'h1:has-text("never guilty")'],
  ['quarantine', '/telemetryui/quarantine', 'summary[data-row]'],
  ['targets', '/targets', 'table.targets'],
  ['missing', '/telemetryui/updates', 'h1'],
  ['compare-none', '/runs?view=compare', '.empty'],
  ['missing-run', '/runs//x', 'h1'],
];
