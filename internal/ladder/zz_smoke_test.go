package ladder

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

func TestSmoke(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop.example"}, DNSNames: []string{"shop.example"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour * 240)}
	der, _ := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	for _, v := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		l, _ := net.Listen("tcp", "127.0.0.1:0")
		go func() {
			c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: v == tls.VersionTLS13, MaxVersion: v, ServerName: "shop.example", NextProtos: []string{"h2"}})
			if err == nil {
				c.Write([]byte("hi"))
				c.Read(make([]byte, 10))
				c.Close()
			}
		}()
		c, _ := l.Accept()
		var events []*event.Event
		d := tlswire.NewDecoder(func(at tlswire.Stamp, from event.Side, body event.Body) {
			events = append(events, &event.Event{Time: at.Time, T: at.T, Conn: 1, N: uint64(len(events) + 1), From: from, View: event.Wire, Body: body})
		})
		tap := tlswire.NewTap(c, d, event.Server, nil)
		s := tls.Server(tap, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, KeyLogWriter: tap, NextProtos: []string{"h2"}})
		if s.Handshake() == nil {
			s.Read(make([]byte, 10))
			s.Write([]byte("ok"))
			s.Read(make([]byte, 10))
		}
		s.Close()
		l.Close()
		fmt.Println(string(render(t, events, Options{Unicode: true})))
	}
}
