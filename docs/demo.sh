#!/bin/sh
# The main job on real input: a daemon on a TUN interface in a network namespace
# of its own, curl over TLS 1.3 and openssl over TLS 1.2 through it, and their
# ladders. Nothing is left behind.
#
#   demo.sh BINARY
set -eu
binary=$1
PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" != 0 ]; then
	echo "demo: making a network namespace and a TUN interface takes root: sudo make demo" >&2
	exit 1
fi
if [ ! -c /dev/net/tun ]; then
	modprobe tun 2>/dev/null || true
fi

ns=synscope-demo-$$
dir=$(mktemp -d)
daemon=
finish() {
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
	fi
	ip netns del "$ns" 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

ip netns add "$ns"
ip -n "$ns" link set lo up
mkfifo "$dir/stderr"
# The daemon runs as ip's own process, so that its pid is known.
ip netns exec "$ns" "$binary" serve --control none --state-dir "$dir/state" --time-wait 1s \
	>"$dir/ladders" 2>"$dir/stderr" &
daemon=$!
while read -r line; do
	[ "$line" = "synscope: ready" ] && break
	echo "$line" >&2
done <"$dir/stderr"
if ! kill -0 "$daemon" 2>/dev/null; then
	echo "demo: the daemon did not start" >&2
	exit 1
fi

inside() {
	echo "\$ $*"
	ip netns exec "$ns" "$@"
	echo
}
inside curl --silent --show-error --output /dev/null --http1.1 \
	--write-out 'HTTP %{http_code}, certificate verified: %{ssl_verify_result} (0 is yes)\n' \
	--cacert "$dir/state/ca.pem" --resolve shop.example:443:198.18.3.4 https://shop.example/
inside openssl s_client -tls1_2 -brief -servername shop.example -connect 198.18.3.4:443 \
	-CAfile "$dir/state/ca.pem" </dev/null 2>&1

# A TERM lets the daemon write the last ladder.
kill "$daemon"
wait "$daemon" || true
daemon=
cat "$dir/ladders"
