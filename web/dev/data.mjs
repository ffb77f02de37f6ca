// Makes up what an installation of some weeks would hold. The same seed gives the same data.

const DAY = 86_400_000;

export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const CLASSES = [
  ['org.clearlinux/heartbeat/ping', 1, 34, 'hello'],
  ['org.clearlinux/hello/world', 1, 12, 'hello'],
  ['org.clearlinux/crash/clr', 3, 20, ''],
  ['org.clearlinux/crash/unknown', 2, 4, 'Process: /usr/bin/telemetry-demo\nPID: 4711\nSignal: 6\n\n(no symbols)'],
  ['org.clearlinux/crash/error', 4, 1, 'Failed to load core file: /var/lib/systemd/coredump/core.firefox'],
  ['org.clearlinux/kernel/warning', 2, 6, ''],
  ['org.clearlinux/kernel/bug', 4, 2, ''],
  ['org.clearlinux/kernel/panic', 4, 0.5, 'Kernel panic - not syncing: Fatal exception in interrupt\nCPU: 3 PID: 0 Comm: swapper/3 Tainted: G        W'],
  ['org.clearlinux/mce/corrected', 2, 5, 'Hardware event. This is not a software error.\nMCE 0\nCPU 2 BANK 4\nSTATUS 942000460001010b MCGSTATUS 0\nMCGCAP c09'],
  ['org.clearlinux/mce/corrected', 2, 2, 'Hardware event. This is not a software error.\nMCE 0\nCPU 6 BANK 8\nSTATUS 8c00004000010091 MCGSTATUS 0\nMCGCAP 1c09'],
  ['org.clearlinux/mce/UCNA', 3, 1, 'Hardware event. This is not a software error.\nMCE 0\nCPU 0 BANK 4\nSTATUS ac00000000110134 MCGSTATUS 0\nMCGCAP c09'],
  ['org.clearlinux/mce/SRAO', 4, 0.6, 'Hardware event. This is not a software error.\nMCE 0\nCPU 0 BANK 7\nSTATUS bd80000000100134 MCGSTATUS 5\nMCGCAP c09'],
  ['org.clearlinux/mce/thermal', 1, 3, 'Processor 5 heated above trip temperature. Throttling enabled.'],
  ['org.clearlinux/swupd-client/update', 1, 8, 'swupd-client v3.24.1: update from 34940 to 34960, 132 files, 41 s'],
  ['org.clearlinux/journal/error', 2, 6, 'systemd[1]: Failed to start Network Time Service.\nUnit systemd-timesyncd.service entered failed state.'],
  ['org.clearlinux/bert/debug', 2, 0.6, 'BERT: Error records from previous boot: [Hardware Error]: event severity: fatal'],
  ['com.example/gateway/watchdog', 3, 2, 'watchdog: poll loop of link "north-2" stalled for 31 s'],
];

const CRASHES = [
  ['inner', 'demo', 'org.clearlinux/crash/clr', 11], ['g_type_check_instance_cast', 'libgobject-2.0.so.0', 'org.clearlinux/crash/clr', 11],
  ['meta_window_actor_update_opacity', 'libmutter-9.so.0', 'org.clearlinux/crash/clr', 11], ['std::vector<Mesh>::_M_realloc_insert', 'blender', 'org.clearlinux/crash/clr', 6],
  ['nvme_queue_rq', 'vmlinux', 'org.clearlinux/kernel/warning', null], ['intel_pmu_handle_irq', 'vmlinux', 'org.clearlinux/kernel/warning', null],
  ['__list_add_valid', 'vmlinux', 'org.clearlinux/kernel/bug', null], ['i915_gem_object_unbind', 'i915', 'org.clearlinux/kernel/warning', null],
  ['QQuickItemPrivate::addToDirtyList', 'libQt5Quick.so.5', 'org.clearlinux/crash/clr', 11], ['pa_stream_connect_playback', 'libpulse.so.0', 'org.clearlinux/crash/clr', 6],
  ['webkit_web_view_load_uri_internal_with_a_very_long_name', 'libwebkit2gtk-4.0.so.37', 'org.clearlinux/crash/clr', 11], ['zend_gc_possible_root', 'php-fpm', 'org.clearlinux/crash/clr', 11],
  ['___sys_recvmsg', 'libc.so.6', 'org.clearlinux/crash/clr', 7], ['drm_atomic_helper_wait_for_vblanks', 'drm_kms_helper', 'org.clearlinux/kernel/warning', null],
  ['???', 'python3.11', 'org.clearlinux/crash/clr', 11], ['ext4_da_write_end', 'ext4', 'org.clearlinux/kernel/bug', null],
];

const PLATFORMS = ['Dell Inc.|XPS 13 9310|1.0', 'LENOVO|20XW|ThinkPad X1 Carbon Gen 9', 'Intel Corporation|NUC10i7FNH|M38010-307', 'QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2', 'Gigabyte Technology Co., Ltd.|X570 AORUS ELITE|Default string', 'Supermicro|SYS-5019D-FN8TP|0123456789', 'no_xx_file|no_xx_file|no_xx_file'];
const BUILDS = Array.from({ length: 26 }, (_, index) => String(34480 + index * 20 - (index % 3) * 10)).concat(['34960', '34980']);
const FRAMES_BELOW = [['g_signal_emit_valist', 'libgobject-2.0.so.0'], ['g_main_context_dispatch', 'libglib-2.0.so.0'], ['g_main_loop_run', 'libglib-2.0.so.0'], ['main', 'demo'], ['__libc_start_main', 'libc.so.6'], ['_start', 'demo']];

/** An event with more records than a page asks for at once. */
export const LONG_EVENT = 'c0ffee'.padStart(32, '0');

export function makeData({ count = 5_000, seed = 3, now = Date.now() } = {}) {
  const next = random(seed);
  const pick = (list) => list[Math.floor(next() * list.length)];
  const weighted = (list, weight) => {
    let left = next() * list.reduce((sum, one) => sum + weight(one), 0);
    return list.find((one) => (left -= weight(one)) < 0) ?? list[0];
  };
  const hex = (length) => Array.from({ length }, () => Math.floor(next() * 16).toString(16)).join('');
  const machines = Array.from({ length: 300 }, (_, index) => ({ id: index % 40 === 7 ? `lab-node-${index}` : hex(32), external: next() < 0.6, platform: Math.floor(next() ** 1.7 * PLATFORMS.length) }));
  const groups = CRASHES.map(([fn, module, classification, signal], index) => ({ id: index + 1, function: fn, module, classification, signal, weight: 1 / (index + 1), comment: index === 1 ? 'gtk 3.24.30, see ticket 4711' : index === 5 ? 'harmless, firmware' : '', is_hidden: index === 5 || index === 12, regressed_in: index === 0 ? '34960' : '', state: ['regressed', 'open', 'open', 'new', 'open', 'resolved', 'open', 'new'][index % 8] }));

  const make = (id, at) => {
    const [classification, severity, , text] = weighted(CLASSES, (one) => one[2]);
    const machine = pick(machines);
    const isGrouped = text === '';
    const group = isGrouped ? weighted(groups.filter((one) => one.classification === classification), (one) => one.weight) : null;
    const isDebian = next() < 0.12;
    const newest = Math.max(4, Math.floor(BUILDS.length - (now - at) / (3.4 * DAY)));
    const build = isDebian ? pick(['12', '13']) : BUILDS[Math.max(0, Math.min(BUILDS.length, newest) - 1 - Math.floor(next() ** 3 * 9))];
    const payload = group ? crashPayload(group, 300 + Math.floor(next() * 30_000)) : text;
    return {
      id, project: next() < 0.93 ? 'clear' : 'gateway', received_at: stamp(at),
      created_at: next() < 0.002 ? null : stamp(at - next() * 4_000),
      severity, classification, machine_id: next() < 0.004 ? '' : machine.id, build,
      system_name: isDebian ? 'debian' : 'clear-linux-os', external: machine.external, group: group?.id ?? null,
      home: group?.id ?? null, excerpt: payload.slice(0, 120).replace(/\s+/g, ' '), payload,
      event_id: next() < (isLong(at) ? 0.7 : 0.15) ? eventOf(at) : hex(32), arch: 'x86_64', kernel_version: isDebian ? '6.1.0-13-amd64' : '5.13.12-1070.native',
      host_type: PLATFORMS[machine.platform], board_name: 'NUC10i7FNB|M38063-307', cpu_model: 'Intel(R) Core(TM) i7-10710U CPU @ 1.10GHz', bios_version: 'FNCML357.0053.2021.1209.1142',
      record_format_version: 4, payload_format_version: 1,
    };
  };
  // Events that send several records: all of one hour have one, and one goes on for days.
  const isLong = (at) => at > now - 12 * DAY && at < now - 3 * DAY;
  const eventOf = (at) => (isLong(at) ? LONG_EVENT : Math.floor(at / 3_600_000).toString(16).padStart(32, 'e'));

  const records = [];
  for (let index = 0; index < count; index += 1) {
    const age = (1 - (index + 1) / count) ** 1.35 * 62 * DAY;
    const isNight = new Date(now - age).getUTCDay() % 6 === 0 && next() < 0.3;
    records.unshift(make(81_200 + index, Math.floor(now - age - (isNight ? 0 : next() * 5_000))));
  }
  const skipped = [['__stack_chk_fail', 'libc.so.6'], ['raise', 'libc.so.6'], ['wl_abort', 'libwayland-server.so.0']].map(([fn, module]) => ({ function: fn, module }));
  const regroup = { begunAt: 0, moving: [], isDone: true };
  return { records, groups, machines, make, skipped, regroup, quarantine: makeQuarantine(next, hex, now) };
}

export const stamp = (at) => new Date(at).toISOString().replace('Z', '000Z');

function crashPayload({ function: fn, module, signal, classification }, pid) {
  if (classification.includes('kernel')) {
    return `WARNING: CPU: 2 PID: ${pid} at ${fn}+0x1a2/0x210\nCall Trace:\n#0 ${fn} - [${module}]\n#1 ? asm_exc_invalid_op - [vmlinux]\n#2 process_one_work - [vmlinux]\n#3 worker_thread - [vmlinux]\n#4 kthread - [vmlinux]\n#5 ret_from_fork - [vmlinux]\n`;
  }
  const frames = [['raise', 'libc.so.6'], [fn, module], ...FRAMES_BELOW];
  return `Process: /usr/bin/${module.replace(/\.so.*/, '')}\nPID: ${pid}\nSignal: ${signal}\n\nBacktrace (TID ${pid}):\n${frames.map(([name, where], index) => `#${index} ${name}() - [${where}] - ../src/${name.slice(0, 12)}.c:${100 + index * 37}`).join('\n')}\n\nBacktrace (TID ${pid + 1}):\n#0 poll() - [libc.so.6]\n#1 g_main_context_iterate() - [libglib-2.0.so.0]\n`;
}

export const framesOf = (group) => [['raise', 'libc.so.6'], [group.function, group.module], ...FRAMES_BELOW];

const USED_MOST = 3;
export function whyGrouped(group, isSkipped) {
  let used = 0;
  const frames = framesOf(group).map((frame) => {
    const isUsed = !isSkipped(frame) && used < USED_MOST;
    used += isUsed ? 1 : 0;
    return [...frame, isUsed, isUsed ? 'one of the innermost telling functions' : isSkipped(frame) ? 'on the skip list' : 'further out than the frames that are used'];
  });
  return {
    version: 2, signal: group.signal ? `SIG${{ 11: 'SEGV', 6: 'ABRT', 7: 'BUS' }[group.signal]}` : null,
    key: `2:${group.signal ?? 'kernel'}:${group.module.replace(/\.so.*/, '')}!${group.function.replace(/<.*>/, '<>')}|libgobject-2.0!g_signal_emit_valist|libglib-2.0!g_main_context_dispatch`,
    frames: frames.map(([fn, module, isUsed, why], index) => ({ function: fn, module, normalised: `${module.replace(/\.so.*/, '')}!${fn.replace(/<.*>/, '<>')}`, is_used: isUsed, is_guilty: index === frames.findIndex((frame) => frame[2]), why })),
  };
}

const payloadOf = (index) => {
  const payload = index % 9 === 4 ? '' : 'systemd[1]: Failed to start Network Time Service.\n'.repeat(index % 9 === 3 ? 200 : 1);
  return { payload, payload_bytes: payload.length };
};

function makeQuarantine(next, hex, now) {
  const reasons = [['kernel_version', 'kernel version is invalid', 'unknown'], ['arch', 'architecture is invalid', 'mips64'], ['board_name', 'board name is invalid', 'Übersee-Board'], ['classification', 'Classification value is invalid', 'crash/unknown'], ['event_id', 'Event id is invalid', 'DEADBEEF'], ['build', 'Clear Linux OS build version has invalid characters', '34960.1']];
  return Array.from({ length: 130 }, (_, index) => {
    // The second one is what its pictures are about.
    const [reason, message, value] = reasons[index === 1 ? 0 : Math.floor(next() ** 1.8 * reasons.length)];
    const fields = { record_format_version: '4', severity: '2', classification: 'org.clearlinux/journal/error', machine_id: hex(32), creation_timestamp: String(Math.floor(now / 1000) - index * 4000), arch: 'x86_64', host_type: 'QEMU|Standard PC|pc', kernel_version: '5.13.12-1070.native', board_name: '', event_id: hex(32), build: '34960', system_name: 'clear-linux-os', payload_format_version: '1', [reason]: value };
    return { id: 900 - index, project: 'clear', received_at: stamp(now - index ** 1.4 * 900_000), reason, message, fields, ...payloadOf(index) };
  });
}
