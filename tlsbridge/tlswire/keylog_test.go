package tlswire

import (
	"errors"
	"io"
	"strings"
	"testing"
)

const randomHex = "1bc3ceb6bbe39cff938355b5a50adb6db21b7a6af649d7b4bc419d7876487d95"

func TestKeyLogReader(t *testing.T) {
	r := NewKeyLogReader(strings.NewReader("# a comment\r\n\n" +
		"CLIENT_RANDOM " + randomHex + " 0011\n" +
		"no secret here\n" +
		"SOME_LABEL_OF_TOMORROW " + strings.ToUpper(randomHex) + " ff\r\n" +
		"CLIENT_RANDOM " + randomHex[2:] + " 00\n" +
		"SERVER_TRAFFIC_SECRET_0 " + randomHex + " aa"))
	for _, want := range []string{"CLIENT_RANDOM", "line 4", "SOME_LABEL_OF_TOMORROW", "line 6", "SERVER_TRAFFIC_SECRET_0", "EOF"} {
		s, err := r.Read()
		var malformed *KeyLogError
		switch {
		case err == io.EOF:
			if want != "EOF" {
				t.Errorf("the end came, want %s", want)
			}
		case errors.As(err, &malformed):
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, want it to name %s", err, want)
			}
		case err != nil:
			t.Fatal(err)
		case s.Label != want || len(s.ClientRandom) != 32 || len(s.Secret) == 0:
			t.Errorf("got %s with %d and %d bytes, want %s", s.Label, len(s.ClientRandom), len(s.Secret), want)
		}
	}
}

func TestKeyLogErrorsShowNoSecret(t *testing.T) {
	const secret = "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffee"
	for _, line := range []string{
		"CLIENT_RANDOM " + secret,
		secret + " " + randomHex + " zz",
		"CLIENT_RANDOM " + randomHex + " " + secret + "x",
		"CLIENT_RANDOM " + secret + " " + secret,
		" CLIENT_RANDOM " + randomHex + " " + secret,
	} {
		_, ok, err := ParseKeyLogLine(line)
		if ok || err == nil {
			t.Errorf("%q was accepted", line)
		} else if strings.Contains(err.Error(), "c0ffee") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func TestKeyLogLineTooLong(t *testing.T) {
	_, err := NewKeyLogReader(strings.NewReader(strings.Repeat("x", maxKeyLogLine+1))).Read()
	if err == nil || err == io.EOF || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v, want an error that names line 1", err)
	}
}
