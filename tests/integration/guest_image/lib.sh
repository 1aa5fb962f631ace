# What the tests of the guest's image share: sourced, with $work a folder that is theirs.

fail() {
  echo "guest image: $*" >&2
  if [[ -s $work/console ]]; then
    echo "--- the guest's console" >&2
    tail -n 60 "$work/console" >&2
  fi
  exit 1
}

# make_seed PATH FILE=TEXT…
make_seed() {
  local path=$1 pair
  shift
  mkdir "$path.d"
  for pair in "$@"; do printf '%s\n' "${pair#*=}" >"$path.d/${pair%%=*}"; done
  tar --format=ustar -C "$path.d" -cf "$path" .
}

# start_guest IMAGE SEED STATE, either "" for none: in the background, as $qemu, the console in
# $work/console. It dies with this script, however that ends.
start_guest() {
  local image=$1 line disks=() name
  line=$(sed -nE 's/.*"command_line": "(.*)",$/\1/p' "$image/manifest.json")
  for name in "clawroot=$image/root.img,readonly=on" ${2:+"clawseed=$2,readonly=on"} \
    ${3:+"clawstate=$3,cache=unsafe,discard=unmap"}; do
    disks+=(-drive "if=none,format=raw,id=${name%%=*},file=${name#*=}"
      -device "virtio-blk-pci,drive=${name%%=*},serial=${name%%=*}")
  done
  rm -f "$work/console"
  setpriv --pdeathsig KILL timeout 300 setpriv --pdeathsig KILL qemu-system-aarch64 \
    -nodefaults -no-user-config -display none -no-reboot \
    -machine virt,gic-version=2 -accel tcg,thread=multi -cpu cortex-a76 -smp 2 -m 1024 \
    -kernel "$image/vmlinuz" -initrd "$image/initramfs.img" -append "$line" "${disks[@]}" \
    -netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net,romfile= \
    -device virtio-balloon-pci,free-page-reporting=on -device virtio-rng-pci \
    -serial "file:$work/console" </dev/null >"$work/qemu" 2>&1 &
  qemu=$!
}

# The guest powers itself off, and its console has a line (an extended regular expression).
ends_with() {
  local code=0
  wait "$qemu" || code=$?
  qemu=
  [[ $code -eq 0 ]] || fail "QEMU ended with $code (124: after 300 s): $(cat "$work/qemu")"
  sed -i 's/\r$//' "$work/console"
  says "$1"
}

says() { grep -qE "$1" "$work/console" || fail "the console does not say '$1'"; }
