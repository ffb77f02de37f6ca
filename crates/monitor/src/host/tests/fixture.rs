//! A machine that was made up: an old kernel, odd names, sensors, arrays that lost disks.

use std::path::{Path, PathBuf};

/// The files of it, and what they say.
const FILES: &[(&str, &str)] = &[
    (
        "proc/stat",
        "cpu  301854 612 111922 8979004 3552 2 3944 0 0 0\n\
         cpu0 44490 19 21045 1087069 220 1 3410 0 9 3\n\
         cpu2 44490 19 21045 20050 220 1 3410 0 0 0\n\
         intr 8885917 17 0 0 0\nctxt 38014093\nbtime 1418183276\nprocesses 26442\n\
         procs_running 2\nprocs_blocked 1\nsoftirq 5057579 250191 1481983 1647 211099 186066 0 1783454 622196 12499 508444\n",
    ),
    (
        "proc/meminfo",
        "MemTotal: 3742148 kB\nMemFree: 225472 kB\nActive(anon): 2068484 kB\nHugePages_Total: 3\n",
    ),
    (
        "proc/vmstat",
        "nr_free_pages 977769\npgpgin 7344136\npswpin 1476\npgfault 2320168809\noom_kill 1\npgmajfault 507162\n",
    ),
    ("proc/loadavg", "0.21 0.37 0.39 1/719 19737\n"),
    ("proc/sys/fs/file-nr", "1024\t0\t1631329\n"),
    ("proc/sys/kernel/random/entropy_avail", "1337\n"),
    ("proc/sys/kernel/random/poolsize", "4096\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "123\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
    (
        "proc/net/stat/nf_conntrack",
        "entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n\
         00000021  00000000 00000000 00000000 00000003 0000588a 00000000 00000000 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000001\n\
         00000021  00000000 00000000 00000000 00000002 000056a4 00000000 00000000 00000000 00000000 00000000 00000000 00000002  00000000 00000000 00000000 00000004\n",
    ),
    (
        "proc/net/netstat",
        "TcpExt: SyncookiesSent SyncookiesRecv ListenOverflows ListenDrops TW\nTcpExt: 1 0 2 3 388812\n\
         IpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 6286396970 2786264347\n",
    ),
    (
        "proc/net/snmp",
        "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: ActiveOpens MaxConn InErrs\nTcp: 3556 -1 5\n\
         Udp: InDatagrams InErrors\nUdp: 88542 0\nUdpLite: InErrors\nUdpLite: 0\n",
    ),
    (
        "proc/net/snmp6",
        "Ip6InReceives 7\nIp6InOctets 460\nIcmp6InMsgs 0\nIcmp6OutType133 2\nUdp6InErrors 4\nUdpLite6InErrors 9\n",
    ),
    (
        "proc/net/sockstat",
        "sockets: used 229\nTCP: inuse 4 orphan 0 tw 4 alloc 17 mem 1\nUDP: inuse 0 mem 0\nFRAG: inuse 0 memory 0\n",
    ),
    (
        "proc/net/sockstat6",
        "TCP6: inuse 17\nFRAG6: inuse 0 memory 12\n",
    ),
    (
        "proc/net/dev",
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n  \
         eth0: 438744 4567 1 2 3 4 5 6 7 8 9 10 11 12 13 14\n\
         veth@if3:     648       8    0    0    0     0          0         0      438       5    0    0    0     0       0          0\n    \
         lo:1664039048 1566805 0 0 0 0 0 0 1664039048 1566805 0 0 0 0 0 0\n",
    ),
    (
        "proc/net/softnet_stat",
        "00015c73 00020e76 f0000769 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n\
         01663fb2 00000000 0109a4ff 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n",
    ),
    (
        "proc/net/arp",
        "IP address       HW type     Flags       HW address            Mask     Device\n\
         192.168.1.1      0x1         0x2         cc:aa:dd:ee:aa:bb     *        eth0\n\
         192.168.1.2      0x1         0x0         00:00:00:00:00:00     *        eth0\n\
         192.168.2.1      0x1         0x2         bb:cc:dd:ee:ff:aa     *        eth1\n",
    ),
    (
        "proc/net/udp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n    \
         0: 00000000:0016 00000000:0000 0A 00000015:00000001 00:00000000 00000000     0        0 2740 1 ffff88003d3af3c0 0\n    \
         1: 00000000:0017 00000000:0000 0A 00000000:00000020 00:00000000 00000000     0        0 2741 1 ffff88003d3af3c1 0\n",
    ),
    (
        "proc/diskstats",
        "   1       0 ram0 0 0 0 0 0 0 0 0 0 0 0\n\
         8       0 sda 25354637 34367663 25353629 18492 28444756 11134226 505697032 63877960 0 9653880 82621804 1 2 3 4 5 6\n   \
         8       1 sda1 250 0 2000 36 0 0 0 0 0 36 36\n 252       0 dm-0 59910002 0 1003337218 46229572 39231014 0 505697032 1158557800 0 11325968 1206301256\n",
    ),
    (
        "run/udev/data/b8:0",
        "S:disk/by-id/x\nE:ID_MODEL=SAMSUNG_\"X\"\nE:ID_PATH=pci-0000:3b:00.0\nE:ID_REVISION=GXT\nE:ID_SERIAL_SHORT=S3\nE:ID_WWN=0x5\n",
    ),
    (
        "run/udev/data/b252:0",
        "E:DM_NAME=vg-home\nE:DM_UUID=LVM-x\nE:DM_VG_NAME=vg\nE:DM_LV_NAME=home\nE:ID_FS_TYPE=ext4\nE:ID_FS_UUID=u\nE:ID_FS_USAGE=filesystem\nE:ID_FS_VERSION=1.0\n",
    ),
    (
        "proc/mdstat",
        "Personalities : [raid1] [raid6]\n\
         md3 : active raid6 sda1[8] sdh1[7] sdg1[6] sdf1[5] sde1[11](F) sdd1[3] sdc1[10] sdb1[9] sdd2[10](S)\n      \
         5853468288 blocks super 1.2 level 6, 64k chunk, algorithm 2 [8/8] [UUUUUUUU]\n\n\
         md8 : active raid1 sdb1[1] sda1[0] sdc[2](S)\n      195310144 blocks [2/2] [UU]\n      \
         [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec\n\n\
         md219 : inactive sdb[2](S) sdc[1](S) sda[0](S)\n        7932 blocks super external:imsm\n\n\
         md42 : active raid0 sda[0] sdb[1]\n      314159265 blocks 64k chunks\n\nunused devices: <none>\n",
    ),
    (
        "proc/pressure/cpu",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=14036781\n",
    ),
    (
        "proc/pressure/io",
        "some avg10=0.18 avg60=0.34 avg300=0.10 total=159886802\nfull avg10=0.18 avg60=0.34 avg300=0.10 total=159229614\n",
    ),
    (
        "proc/pressure/memory",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    ),
    (
        "proc/1/mounts",
        "/dev/sda1 / ext4 rw,relatime 0 0\n/dev/sdb1 /a\\040b xfs ro,relatime 0 0\nh:/x /gone nfs4 rw 0 0\n\
         tmpfs /run tmpfs rw 0 0\noverlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\n/dev/sdc /var/lib/docker/volumes/x ext4 rw 0 0\n",
    ),
    (
        "etc/os-release",
        "NAME=\"Ubuntu\"\nVERSION=\"20.04.2 LTS (Focal Fossa)\"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 20.04.2 LTS\"\nVERSION_ID=\"20.04.2\"\nVERSION_CODENAME=focal\n",
    ),
    ("a b/file", ""),
    ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
    ("sys/class/thermal/thermal_zone0/temp", "12376\n"),
    ("sys/class/thermal/thermal_zone0/policy", "step_wise\n"),
    ("sys/class/thermal/cooling_device0/type", "Processor\n"),
    ("sys/class/thermal/cooling_device0/cur_state", "0\n"),
    ("sys/class/thermal/cooling_device0/max_state", "50\n"),
    ("sys/class/nvme/nvme0/firmware_rev", "1B2QEXP7\n"),
    (
        "sys/class/nvme/nvme0/model",
        "Samsung SSD 970 PRO 512GB   \n",
    ),
    ("sys/class/nvme/nvme0/serial", "S680HF8N190894I\n"),
    ("sys/class/nvme/nvme0/state", "live\n"),
    ("sys/devices/platform/coretemp.0/name", "coretemp\n"),
    ("sys/devices/platform/coretemp.0/temp1_input", "55000\n"),
    (
        "sys/devices/platform/coretemp.0/temp1_label",
        "Package id 0\n",
    ),
    ("sys/devices/platform/coretemp.0/temp1_crit", "100000\n"),
    ("sys/devices/platform/coretemp.0/temp1_crit_alarm", "0\n"),
    ("sys/devices/platform/coretemp.0/temp2_input", "-1500\n"),
    ("sys/devices/platform/coretemp.0/temp2_type", "4\n"),
    ("sys/devices/platform/coretemp.0/fan1_input", "1200\n"),
    ("sys/devices/platform/coretemp.0/fan1_alarm", "1\n"),
    ("sys/devices/platform/coretemp.0/fan1_pulses", "2\n"),
    ("sys/devices/platform/coretemp.0/in0_input", "1032\n"),
    ("sys/devices/platform/coretemp.0/in0_beep", "1\n"),
    ("sys/devices/platform/coretemp.0/pwm1", "128\n"),
    ("sys/devices/platform/coretemp.0/pwm1_enable", "2\n"),
    ("sys/devices/platform/coretemp.0/curr1_input", "900\n"),
    ("sys/devices/platform/coretemp.0/energy1_input", "7000000\n"),
    (
        "sys/devices/platform/coretemp.0/power1_average",
        "4000000\n",
    ),
    (
        "sys/devices/platform/coretemp.0/power1_average_interval",
        "300\n",
    ),
    ("sys/devices/platform/coretemp.0/power1_accuracy", "5000\n"),
    ("sys/devices/platform/coretemp.0/humidity1_input", "40000\n"),
    ("sys/devices/platform/coretemp.0/update_interval", "1000\n"),
    ("sys/devices/platform/coretemp.0/uevent", "x\n"),
    (
        "sys/devices/system/clocksource/clocksource0/available_clocksource",
        "tsc hpet acpi_pm \n",
    ),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "tsc\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/topology/physical_package_id",
        "0\n",
    ),
    ("sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
    (
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
        "5\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count",
        "30\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors",
        "performance powersave\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "powersave\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver",
        "intel_pstate\n",
    ),
    ("sys/devices/system/cpu/cpu0/cpufreq/related_cpus", "0\n"),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_setspeed",
        "<unsupported>\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
        "3700000\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq",
        "800000\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
        "1699981\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
        "3700000\n",
    ),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq",
        "800000\n",
    ),
    ("sys/class/net/eth0/addr_assign_type", "3\n"),
    ("sys/class/net/eth0/address", "01:01:01:01:01:01\n"),
    ("sys/class/net/eth0/broadcast", "ff:ff:ff:ff:ff:ff\n"),
    ("sys/class/net/eth0/carrier", "1\n"),
    ("sys/class/net/eth0/carrier_changes", "2\n"),
    ("sys/class/net/eth0/carrier_down_count", "1\n"),
    ("sys/class/net/eth0/carrier_up_count", "1\n"),
    ("sys/class/net/eth0/dev_id", "0x20\n"),
    ("sys/class/net/eth0/dormant", "1\n"),
    ("sys/class/net/eth0/duplex", "full\n"),
    ("sys/class/net/eth0/flags", "0x1303\n"),
    ("sys/class/net/eth0/ifalias", "up \"link\"\n"),
    ("sys/class/net/eth0/ifindex", "2\n"),
    ("sys/class/net/eth0/iflink", "2\n"),
    ("sys/class/net/eth0/link_mode", "1\n"),
    ("sys/class/net/eth0/mtu", "1500\n"),
    ("sys/class/net/eth0/name_assign_type", "2\n"),
    ("sys/class/net/eth0/netdev_group", "0\n"),
    ("sys/class/net/eth0/operstate", "up\n"),
    ("sys/class/net/eth0/speed", "1000\n"),
    ("sys/class/net/eth0/tx_queue_len", "1000\n"),
    ("sys/class/net/eth0/type", "1\n"),
    ("sys/class/net/bonding_masters", "bond0\n"),
];

/// The machine in a folder that goes when it is dropped.
pub(super) fn machine() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in FILES {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let hwmon = folder.path().join("sys/class/hwmon/hwmon0");
    std::fs::create_dir_all(&hwmon).unwrap();
    std::fs::write(hwmon.join("name"), "coretemp\n").unwrap();
    std::os::unix::fs::symlink(
        folder.path().join("sys/devices/platform/coretemp.0"),
        hwmon.join("device"),
    )
    .unwrap();
    folder
}

/// All its files.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    FILES.iter().map(|(file, _)| folder.join(file)).collect()
}
