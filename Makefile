# make demo    all set-up, then two real handshakes through a TUN, told
# make run     the daemon in the foreground, for one's own traffic
# make test    all set-up, then every check there is
# make build   bin/synscope
# make install the binary and its manual pages below PREFIX, and where AppArmor
#              wants one a profile

PREFIX ?= /usr/local
GO     ?= go
export CGO_ENABLED ?= 0

# What the tests and the demo run, by Debian package. The tests say what is
# missing (integration/tools_test.go).
DEMO_TOOLS = ip:iproute2 curl:curl openssl:openssl
TEST_TOOLS = $(DEMO_TOOLS) nft:nftables ping:iputils-ping gnutls-cli:gnutls-bin nginx:nginx tcpdump:tcpdump \
             python3:python3 node:nodejs keytool:default-jre-headless javac:default-jdk-headless wget:wget git:git \
             tshark:tshark dumpcap:wireshark-common h2load:nghttp2-client \
             setpriv:util-linux gcc:gcc

# What the benchmark compares with. It does without those that are missing.
BENCH_TOOLS = ip:iproute2 openssl:openssl nginx:nginx haproxy:haproxy sslsplit:sslsplit mitmdump:mitmproxy

.PHONY: build demo run test check unit race integration fuzz fuzz-short bench pgo install clean demo-tools test-tools bench-tools

build:
	$(GO) build -trimpath -o bin/synscope ./cmd/synscope

demo: demo-tools build
	sh docs/demo.sh bin/synscope

run: build
	bin/synscope serve

test: test-tools check unit race fuzz-short integration

check:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted"; exit 1; fi
	$(GO) mod verify
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@sh .ci/govulncheck

unit:
	$(GO) test $$($(GO) list ./... | grep -v /integration)

race:
	CGO_ENABLED=1 $(GO) test -race $$($(GO) list ./... | grep -v /integration)

integration:
	$(GO) test -count=1 -timeout 30m ./integration
	CGO_ENABLED=1 $(GO) test -count=1 -timeout 30m -race -run 'Load|TLS13|Reset' ./integration

# Each fuzz target for a minute, going on from earlier runs; for a second, from
# its corpus, as part of the tests.
FUZZTIME ?= 60s
fuzz:
	@GO="$(GO)" sh .ci/fuzz $(FUZZTIME) "$$($(GO) env GOCACHE)/fuzz"

fuzz-short:
	@GO="$(GO)" sh .ci/fuzz 1s

# What run adds to a command, beside unshare: half a minute. How fast connections
# are served, beside the kernel, nginx, haproxy and openssl, and handshakes made
# through run, beside sslsplit and mitmdump: ten minutes as root, plotted in
# docs/bench.svg. How fast captures are read, beside tshark: a few
# minutes, and 2 GB in TMPDIR. For a part, with its flags:
# go run ./integration/servebench -help
bench: test-tools bench-tools build
	$(GO) run ./integration/startbench -synscope bin/synscope
	$(GO) run ./integration/servebench -synscope bin/synscope -json bin/bench.json -svg docs/bench.svg
	$(GO) run ./integration/readbench -synscope bin/synscope

# The profile that the compiler goes by: of a daemon with handshakes, connections
# and transfers, as root.
PGO_LOAD = ^handshake tls1.[23].*, 32|connect and close|(download|upload) tls, 8
pgo: test-tools
	$(GO) build -trimpath -tags profile -o bin/synscope-profile ./cmd/synscope
	rm -rf bin/profile && mkdir bin/profile
	SYNSCOPE_PROFILE=$(CURDIR)/bin/profile $(GO) run ./integration/servebench -synscope bin/synscope-profile \
	  -contestants json -only '$(PGO_LOAD)' -rounds 2 -time 2s
	$(GO) tool pprof -proto bin/profile/*.cpu >cmd/synscope/default.pgo

install: build
	install -D -m 755 bin/synscope $(DESTDIR)$(PREFIX)/bin/synscope
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	bin/synscope man $(DESTDIR)$(PREFIX)/share/man/man1
	@if [ -e /etc/apparmor.d/abi/4.0 ]; then \
	  install -d $(DESTDIR)/etc/apparmor.d && \
	  sed 's|^profile synscope .* flags|profile synscope $(PREFIX)/bin/synscope flags|' contrib/apparmor/synscope >$(DESTDIR)/etc/apparmor.d/synscope && \
	  echo "an ordinary user may 'synscope run' after: apparmor_parser -r /etc/apparmor.d/synscope"; \
	fi

clean:
	rm -rf bin

demo-tools:
	@sh .ci/install $(DEMO_TOOLS)

test-tools:
	@sh .ci/install $(TEST_TOOLS)

bench-tools:
	@sh .ci/install $(BENCH_TOOLS)
