package fleet

import (
	"fmt"
	"strings"
)

// HubHome is the home of objects declared at the hub: fleet-wide, placed by a Placement.
const HubHome = "hub"

// Key names an App across the fleet: where it was declared, its kind, namespace and name.
type Key struct {
	Home      string
	Kind      string
	Namespace string
	Name      string
}

// String is "home/Kind/namespace/name", the form a Key has on the wire and in the store.
func (k Key) String() string {
	return k.Home + "/" + k.Kind + "/" + k.Namespace + "/" + k.Name
}

// Words is "Kind/namespace/name", what people call an App.
func (k Key) Words() string { return k.Kind + "/" + k.Namespace + "/" + k.Name }

// IsZero reports whether k names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// ParseKey reads what String wrote.
func ParseKey(text string) (Key, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 4 || parts[0] == "" || parts[1] == "" || parts[2] == "" || parts[3] == "" {
		return Key{}, fmt.Errorf("%w: %q is not a key of the form home/Kind/namespace/name", ErrInvalid, text)
	}
	return Key{Home: parts[0], Kind: parts[1], Namespace: parts[2], Name: parts[3]}, nil
}

// MarshalText encodes k as String does.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText decodes what MarshalText wrote.
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKey(string(text))
	return err
}

// Compare orders keys by their String.
func (k Key) Compare(other Key) int { return strings.Compare(k.String(), other.String()) }
