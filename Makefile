# make demo    all set-up, then two real handshakes through a TUN, told
# make run     the daemon in the foreground, for one's own traffic
# make test    all set-up, then every check there is
# make build   bin/synscope
# make install the binary and its manual pages below PREFIX

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

.PHONY: build demo run test check unit race integration fuzz fuzz-short bench install clean demo-tools test-tools

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
	$(GO) test -timeout 30m ./integration
	CGO_ENABLED=1 $(GO) test -timeout 30m -race -run 'Load|TLS13|Reset' ./integration

# Each fuzz target for a minute, going on from earlier runs; for a second, from
# its corpus, as part of the tests.
FUZZTIME ?= 60s
fuzz:
	@GO="$(GO)" sh .ci/fuzz $(FUZZTIME) "$$($(GO) env GOCACHE)/fuzz"

fuzz-short:
	@GO="$(GO)" sh .ci/fuzz 1s

# How fast captures are read, beside tshark: a few minutes, and 2 GB in TMPDIR.
bench: test-tools build
	$(GO) run ./integration/readbench -synscope bin/synscope

install: build
	install -D -m 755 bin/synscope $(DESTDIR)$(PREFIX)/bin/synscope
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	bin/synscope man $(DESTDIR)$(PREFIX)/share/man/man1

clean:
	rm -rf bin

demo-tools:
	@sh .ci/install $(DEMO_TOOLS)

test-tools:
	@sh .ci/install $(TEST_TOOLS)
