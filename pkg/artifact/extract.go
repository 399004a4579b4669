package artifact

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Extracted is a file of an archive.
type Extracted struct {
	// Path is as CheckPath wants it.
	Path string
	Mode FileMode
	// Size is the bytes that Content has.
	Size int64
	// Content may be read until the function that the file was given to returns. What is left of it is passed over.
	Content io.Reader
}

// Extract gives the files of a tar, gzip-compressed or plain, in the archive's order, as they are read. It writes nothing
// anywhere, and holds a name and a digest of each entry, never contents.
//
// It takes regular files and directories only. Symbolic links are left out, as Flux leaves them out, and listed in the
// warnings; everything else (hard links, devices, sparse files, names that CheckPath refuses, one name twice, a file that is
// a directory too) and everything beyond a limit is an *ArchiveError that names the entry. Names that differ in case alone
// are two files, as in Git: no disk that takes them for one ever sees them.
//
// An error of r, of ctx or of take is returned as it is. r should end with ctx, as the body of a request does.
func Extract(ctx context.Context, r io.Reader, limits ExtractLimits, take func(Extracted) error) (warnings []string, err error) {
	e := &extraction{names: names{}}
	e.limits = limits.WithDefaults()
	e.source = &metered{ctx: ctx, from: r, limit: e.limits.Compressed, limitText: "the archive has more than %s compressed"}
	if err := e.open(); err != nil {
		return nil, e.explain(err)
	}
	e.tar = tar.NewReader(e.unpacked)
	for {
		e.between = true
		header, err := e.tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, e.explain(err)
		}
		if err := e.entry(header, take); err != nil {
			return nil, err
		}
	}
	if err := e.finish(); err != nil {
		return nil, err
	}
	return e.warnings, nil
}

// maxWarnings bounds the list of what was left out.
const maxWarnings = 100

// extraction is one call of Extract.
type extraction struct {
	limits   ExtractLimits
	source   *metered // as it comes
	unpacked *metered // what the tar is read from
	packed   bool     // whether the two differ
	tar      *tar.Reader

	entryName string // the entry that is being read
	between   bool   // whether it is what follows that entry
	headers   int
	names     names
	nameBytes int
	warnings  []string
}

// entry treats one entry.
func (e *extraction) entry(header *tar.Header, take func(Extracted) error) error {
	if e.headers++; e.headers > e.limits.Entries {
		return &ArchiveError{Entry: header.Name, Limit: true, Text: fmt.Sprintf("the archive has more than %d entries", e.limits.Entries)}
	}
	e.entryName, e.between = header.Name, false
	switch header.Typeflag {
	case tar.TypeXGlobalHeader:
		return e.global(header)
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink:
	default:
		return e.refuse("%s", sort(header.Typeflag))
	}
	for record := range header.PAXRecords {
		// Readers differ in what these mean, so that one sees other files than the next.
		if record == "size" || strings.HasPrefix(record, "GNU.sparse.") {
			return e.refuse("its PAX record %s is not allowed", record)
		}
	}
	path := header.Name
	for strings.HasPrefix(path, "./") { // as tar writes what is in "."
		path = path[len("./"):]
	}
	kind := isFile
	switch header.Typeflag {
	case tar.TypeDir:
		kind = isDirectory
		if path = strings.TrimSuffix(path, "/"); path == "" || path == "." {
			return e.noContent(header)
		}
	case tar.TypeSymlink:
		kind = isLink
	}
	if why := flaw(path); why != "" {
		return e.refuse("%s", why)
	}
	if err := e.add(path, kind); err != nil {
		return err
	}
	switch {
	case kind == isDirectory:
		return e.noContent(header)
	case kind == isLink:
		if len(e.warnings) < maxWarnings {
			e.warnings = append(e.warnings, "symbolic link "+short(path))
		}
		return e.noContent(header)
	case header.Size > e.limits.File:
		return e.beyond("it has %s; a file may have %s", bytesText(header.Size), bytesText(e.limits.File))
	case header.Size > e.limits.Unpacked-e.unpacked.count:
		return e.beyond("with it the archive has more than %s", bytesText(e.limits.Unpacked))
	}
	mode := Regular
	if header.Mode&0o100 != 0 {
		mode = Executable
	}
	content := &content{extraction: e}
	if err := take(Extracted{Path: path, Mode: mode, Size: header.Size, Content: content}); err != nil {
		return err
	}
	return content.drain()
}

// global allows the header that git archive writes, which only names the commit. Any other changes the entries that follow.
func (e *extraction) global(header *tar.Header) error {
	for record := range header.PAXRecords {
		if record != "comment" {
			return e.refuse("it is a global header with %q, which is not allowed", record)
		}
	}
	return nil
}

func (e *extraction) noContent(header *tar.Header) error {
	if header.Size != 0 {
		return e.refuse("it is no file and yet has %d bytes", header.Size)
	}
	return nil
}

// finish reads what follows the last entry: zeros, and then the end of the compressed data with its checksum.
func (e *extraction) finish() error {
	if !e.packed && e.unpacked.sinceMark < endOfTar {
		return e.broken("is cut off") // compressed data has an end and a checksum of its own
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := e.unpacked.Read(buffer)
		for _, b := range buffer[:n] {
			if b != 0 {
				e.entryName = ""
				return e.refuse("something follows its end")
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return e.explain(err)
		}
	}
}

// endOfTar is the length of the zeros that end a tar.
const endOfTar = 1024

// content reads the file that the tar is at.
type content struct {
	extraction *extraction
	ended      bool
}

func (c *content) Read(p []byte) (int, error) {
	if c.ended {
		return 0, io.EOF
	}
	n, err := c.extraction.tar.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = c.extraction.explain(err)
	}
	return n, err
}

// drain passes over what was not read, after which there is nothing to read.
func (c *content) drain() error {
	_, err := io.Copy(io.Discard, c)
	c.ended = true
	c.extraction.unpacked.sinceMark = 0
	return err
}

// sort says what an entry is that is not taken.
func sort(flag byte) string {
	switch flag {
	case tar.TypeLink:
		return "it is a hard link; pack the file itself (tar --hard-dereference)"
	case tar.TypeChar, tar.TypeBlock:
		return "it is a device"
	case tar.TypeFifo:
		return "it is a FIFO"
	case tar.TypeGNUSparse:
		return "it is a sparse file; pack it whole"
	}
	return fmt.Sprintf("it is of type %q, neither file nor directory", flag)
}
