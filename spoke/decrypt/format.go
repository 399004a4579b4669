package decrypt

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/sops"
)

// Format is how a document is written.
type Format = sops.Format

// The formats.
const (
	Binary = sops.Binary
	Dotenv = sops.Dotenv
	INI    = sops.INI
	JSON   = sops.JSON
	YAML   = sops.YAML
)

// read parses an encrypted document into the tree that is encrypted, one a document of YAML, and its metadata.
func read(f Format, data []byte) ([]mapping, map[string]any, error) {
	switch f {
	case Dotenv:
		tree, fields, err := readDotenv(data)
		return []mapping{tree}, fields, err
	case INI:
		tree, fields, err := readINI(data)
		return []mapping{tree}, fields, err
	case YAML:
		trees, err := readYAML(data)
		if err != nil {
			return nil, nil, err
		}
		return nested(trees)
	}
	tree, err := readJSON(data)
	if err != nil {
		return nil, nil, err
	}
	return nested([]mapping{tree})
}

// write prints a decrypted tree. Where a format cannot say what another did, it is an error.
func write(f Format, trees []mapping) ([]byte, error) {
	if f != YAML && len(trees) != 1 {
		return nil, fmt.Errorf("%d documents cannot be written as one of %s", len(trees), f)
	}
	switch f {
	case Dotenv:
		return writeDotenv(trees[0])
	case INI:
		return writeINI(trees[0])
	case YAML:
		return writeYAML(trees)
	case JSON:
		return writeJSON(trees[0])
	}
	value, found := trees[0].find("data")
	text, isText := value.(string)
	if !found || !isText {
		return nil, fmt.Errorf("it has no text below the key %q, which is where SOPS keeps binary content", "data")
	}
	return []byte(text), nil
}

// nested takes the metadata out of trees that have it below a key of its own: the first counts.
func nested(trees []mapping) ([]mapping, map[string]any, error) {
	if len(trees) == 0 {
		return nil, nil, errNoMetadata
	}
	value, found := trees[0].find(sops.MetadataKey)
	fields, is := plainOf(value).(map[string]any)
	if !found || !is {
		return nil, nil, errNoMetadata
	}
	for i := range trees {
		trees[i] = trees[i].without(sops.MetadataKey)
	}
	return trees, fields, nil
}

// textual is a value in a format that has nothing but text.
func textual(value any) string {
	switch v := value.(type) {
	case nil:
		return "<nil>" // as SOPS prints it
	case float64:
		text := strconv.FormatFloat(v, 'G', -1, 64)
		if !strings.ContainsAny(text, ".E") {
			text = strconv.FormatFloat(v, 'f', 1, 64) // it is to be told from an integer
		}
		return text
	case bool:
		return fmt.Sprint(v)
	case time.Time:
		return v.Format(time.RFC3339)
	}
	return fmt.Sprint(value)
}
