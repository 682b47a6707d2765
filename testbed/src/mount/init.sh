#!/bin/busybox sh
# The first and only process of the machine. ttyS0 is the kernel's console; on
# ttyS1 commands come in, one a line, and their output goes out; ttyS2 takes what
# goes on beside them.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do
  insmod "$module" || echo "can't load $module"
done
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
route add default gw 10.0.2.2
hostname client
for n in 1 2; do stty -F /dev/ttyS$n raw -echo; done
exec 3</dev/ttyS1 4>/dev/ttyS1
echo ready >&4
while read -r line <&3; do
  sh -c "$line" </dev/null >/tmp/out 2>&1
  code=$?
  cat /tmp/out >&4
  echo >&4
  echo "--- ended with $code" >&4
done
