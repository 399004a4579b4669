package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"path"

	"flotilla.dev/flotilla/hub/source"
)

// packer makes a packaged chart. Its bytes follow from the names, contents and order of the files alone (and from this
// program's compression): there are no times and no owners in it.
type packer struct {
	dir   string
	limit int64
	out   bytes.Buffer
	zip   *gzip.Writer
	tar   *tar.Writer
}

func newPacker(chart string, limit int64) *packer {
	p := &packer{dir: chart, limit: limit}
	p.zip = gzip.NewWriter(&p.out)
	p.tar = tar.NewWriter(p.zip)
	return p
}

// add writes a file of the chart.
func (p *packer) add(name string, data []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(p.dir, name), Mode: 0o644, Size: int64(len(data))}
	err := p.tar.WriteHeader(header)
	if err == nil {
		_, err = p.tar.Write(data)
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", source.Shown(name), err)
	}
	return p.bounded()
}

func (p *packer) bounded() error {
	if int64(p.out.Len()) > p.limit {
		return tooLarge("the packaged chart has more than %d MiB", p.limit>>20)
	}
	return nil
}

// done is the package.
func (p *packer) done() ([]byte, error) {
	if err := errors.Join(p.tar.Close(), p.zip.Close()); err != nil {
		return nil, fmt.Errorf("pack chart: %w", err)
	}
	return p.out.Bytes(), p.bounded()
}
