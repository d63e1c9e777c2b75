#!/bin/busybox sh
# The first process of our Linux guests (v86 and QEMU). Ends in a shell on the serial port that does not echo.
# Kernel command line: pageferry.ip=A.B.C.D gives eth0 that address, /24.
# Says `pageferry: ready` once everything below is done.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='# '
mount -t devtmpfs dev /dev 2>/dev/null
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
echo 1 >/proc/sys/kernel/printk
while read -r module; do insmod "$module"; done </lib/modules/order
# 1af4:1045, v86's balloon. A machine without one is as if there were no modules for it.
if grep -q 0x1045 /sys/bus/pci/devices/*/device; then
	while read -r module; do insmod "$module"; done </lib/modules/balloon-order
fi
ip link set lo up
for word in $(cat /proc/cmdline); do
	case $word in
	pageferry.ip=*) ip link set eth0 up && ip addr add "${word#pageferry.ip=}/24" dev eth0 ;;
	esac
done
stty -F /dev/ttyS0 -echo
echo "pageferry: ready" >/dev/ttyS0
while :; do
	setsid sh -c 'exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1'
done
