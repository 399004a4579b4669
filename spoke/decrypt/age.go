package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// addAge reads identities, one a line, as age-keygen writes them.
func (k *Keys) addAge(data []byte) error {
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		identity, recipient, err := ageIdentity(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		k.age = append(k.age, identity)
		k.names = append(k.names, keyKinds["age"].name+" "+recipient)
	}
	return nil
}

// ageIdentity reads one identity. The causes of age are left out: they show parts of the key.
func ageIdentity(text string) (identity age.Identity, recipient string, err error) {
	switch {
	case strings.HasPrefix(text, "AGE-PLUGIN-"):
		return nil, "", errors.New("it is the identity of an age plugin, which is a program: a spoke runs none")
	case strings.HasPrefix(text, "AGE-SECRET-KEY-PQ-1"):
		hybrid, err := age.ParseHybridIdentity(text)
		if err != nil {
			return nil, "", errors.New("it is not a whole post-quantum age identity (AGE-SECRET-KEY-PQ-1...)")
		}
		return hybrid, shortRecipient(hybrid.Recipient().String()), nil
	}
	plain, err := age.ParseX25519Identity(text)
	if err != nil {
		return nil, "", errors.New("it is not a whole age identity (AGE-SECRET-KEY-1...)")
	}
	return plain, plain.Recipient().String(), nil
}

// shortRecipient cuts the two thousand characters of a post-quantum recipient to what a person compares.
func shortRecipient(text string) string {
	const most = 40
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

var (
	// errOtherKey says that something is encrypted, but not for a key at hand.
	errOtherKey = errors.New("another key's")
	errBroken   = errors.New("it is damaged")
)

// openAge decrypts what was encrypted for an age recipient.
func (k *Keys) openAge(enc string) ([]byte, error) {
	if len(k.age) == 0 {
		return nil, errOtherKey
	}
	plain, err := age.Decrypt(armor.NewReader(strings.NewReader(enc)), k.age...)
	if other := (*age.NoIdentityMatchError)(nil); errors.As(err, &other) {
		return nil, errOtherKey
	}
	if err != nil {
		return nil, errBroken
	}
	return readKey(plain)
}

// maxKey bounds what a data key, or a part of one, may take.
const maxKey = 256

func readKey(r io.Reader) ([]byte, error) {
	var out bytes.Buffer
	if n, err := io.CopyN(&out, r, maxKey+1); !errors.Is(err, io.EOF) || n > maxKey {
		return nil, errBroken
	}
	return out.Bytes(), nil
}
