package fleet

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// documentHead stands before each of the documents of an Ask.
const documentHead = "---\n"

// PackDocuments returns YAML documents as Ask.Documents has them. An error is ErrInvalid: they are too many bytes.
func PackDocuments(documents [][]byte) ([]byte, error) {
	size := 0
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	for _, document := range documents {
		for _, part := range [][]byte{[]byte(documentHead), document, []byte("\n")} {
			size += len(part)
			if _, err := zipped.Write(part); err != nil {
				return nil, err
			}
		}
	}
	if err := zipped.Close(); err != nil {
		return nil, err
	}
	if size > MaxDocuments || packed.Len() > MaxAsked {
		return nil, fmt.Errorf("documents: %w: they have %d bytes, %d compressed; allowed are %d, and %d compressed",
			ErrInvalid, size, packed.Len(), MaxDocuments, MaxAsked)
	}
	return packed.Bytes(), nil
}

// UnpackDocuments returns the YAML that Ask.Documents has. An error is ErrInvalid.
func UnpackDocuments(packed []byte) ([]byte, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("documents: %w: %w", ErrInvalid, err)
	}
	content, err := io.ReadAll(io.LimitReader(zipped, MaxDocuments+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("documents: %w: %w", ErrInvalid, err)
	case len(content) > MaxDocuments:
		return nil, fmt.Errorf("documents: %w: they have more than %d bytes", ErrInvalid, MaxDocuments)
	}
	return content, nil
}
