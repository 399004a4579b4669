package artifacttest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
)

// Archive makes a gzip-compressed tar of files by path. A path that ends with "*" is an executable's.
func Archive(files map[string]string) []byte {
	return Gzip(Tar(func(w *Writer) {
		for path, content := range files {
			mode := int64(0o644)
			if name, isExecutable := strings.CutSuffix(path, "*"); isExecutable {
				path, mode = name, 0o755
			}
			w.Entry(tar.Header{Name: path, Mode: mode}, content)
		}
	}))
}

// Tar makes a tar of what write writes.
func Tar(write func(*Writer)) []byte {
	w := &Writer{}
	w.archive = tar.NewWriter(&w.out)
	write(w)
	must(w.archive.Close())
	return w.out.Bytes()
}

// Writer writes a tar, well-formed or not. It panics where it cannot: what it writes is a test's.
type Writer struct {
	out     bytes.Buffer
	archive *tar.Writer
}

// Entry writes an entry; a header without type is a file's.
func (w *Writer) Entry(header tar.Header, content string) {
	if header.Typeflag == 0 {
		header.Typeflag = tar.TypeReg
	}
	if header.Size == 0 {
		header.Size = int64(len(content))
	}
	must(w.archive.WriteHeader(&header))
	_, err := io.WriteString(w.archive, content)
	must(err)
}

// File writes a file.
func (w *Writer) File(path, content string) { w.Entry(tar.Header{Name: path, Mode: 0o644}, content) }

// Raw writes a header as its fields are, with a right checksum, which no writer of tars would; and then content, padded.
func (w *Writer) Raw(header RawHeader, content string) {
	must(w.archive.Flush())
	block := make([]byte, 512)
	copy(block[0:100], header.Name)
	copy(block[100:], "0000644\x00")
	copy(block[108:], "0000000\x00")
	copy(block[116:], "0000000\x00")
	size := header.Size
	if size == "" {
		size = fmt.Sprintf("%011o", len(content))
	}
	copy(block[124:136], size)
	copy(block[136:], "00000000000\x00")
	block[156] = header.Type
	copy(block[157:257], header.Link)
	copy(block[257:], "ustar\x0000")
	copy(block[345:500], header.Prefix)
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	w.out.Write(block)
	w.out.WriteString(content)
	if rest := len(content) % 512; rest != 0 {
		w.out.Write(make([]byte, 512-rest))
	}
}

// RawHeader has the fields of a ustar header that hostile archives lie in.
type RawHeader struct {
	Name, Prefix, Link string
	Type               byte
	// Size is the text of the field; empty means what is right.
	Size string
}

// PAX is the content of a PAX header: records as "key", "value" pairs.
func PAX(pairs ...string) string {
	var out strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		record := " " + pairs[i] + "=" + pairs[i+1] + "\n"
		length := len(record) + 1
		for len(fmt.Sprint(length))+len(record) != length {
			length = len(fmt.Sprint(length)) + len(record)
		}
		fmt.Fprint(&out, length, record)
	}
	return out.String()
}

// Gzip compresses.
func Gzip(data []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	must(err)
	_, err = w.Write(data)
	must(err)
	must(w.Close())
	return out.Bytes()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
