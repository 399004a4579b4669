package artifacttest

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Hostile is an archive that must be refused.
type Hostile struct {
	Name string
	// Data makes the archive; it has a few MiB at most, whatever it would unpack to.
	Data func() []byte
	// Entry is in the error, as it names the entry; empty where there is none to name.
	Entry string
	// Limit: nothing is wrong with it but its size, so that whoever allows more takes it.
	Limit bool
}

// HostileArchives are archives that whatever takes archives must refuse, with an error that names the entry, in bounded
// memory and time, and without anything of them being served.
func HostileArchives() []Hostile {
	var all []Hostile
	for _, part := range [][]hostile{hostileNames(), hostileTypes(), hostileHeaders(), hostilePackings()} {
		for _, h := range part {
			all = append(all, Hostile{Name: h.name, Data: h.data, Entry: h.entry})
		}
	}
	for _, h := range hostileSizes() {
		all = append(all, Hostile{Name: h.name, Data: h.data, Entry: h.entry, Limit: true})
	}
	return all
}

// hostile is a Hostile as it is written down here.
type hostile struct {
	name  string
	data  func() []byte
	entry string
}

// around is an archive with good files before and after the one in question.
func around(write func(*Writer)) func() []byte {
	return func() []byte {
		return Gzip(Tar(func(w *Writer) {
			w.File("good/first.yaml", "a: 1\n")
			write(w)
			w.File("good/last.yaml", "a: 2\n")
		}))
	}
}

func hostileNames() []hostile {
	var all []hostile
	for name, path := range map[string]string{
		"traversal":                       "../escape.yaml",
		"traversal after a directory":     "a/../../escape.yaml",
		"traversal within the archive":    "a/../b.yaml",
		"traversal far up":                strings.Repeat("../", 40) + "etc/cron.d/x",
		"traversal as a whole":            "..",
		"traversal at the end":            "a/..",
		"traversal after a dot":           "./../escape.yaml",
		"absolute path":                   "/etc/passwd",
		"absolute path, twice over":       "//etc/passwd",
		"absolute path after a dot":       ".//etc/passwd",
		"backslashes":                     `..\..\windows\system32\x.yaml`,
		"backslash in a name":             `a\b.yaml`,
		"drive letter":                    "C:/windows/x.yaml",
		"drive letter without a slash":    "c:x.yaml",
		"share":                           `\\server\share\x.yaml`,
		"empty part":                      "a//b.yaml",
		"dot part":                        "a/./b.yaml",
		"control character":               "a\x01b.yaml",
		"line feed":                       "a\nb.yaml",
		"escape of a terminal":            "a\x1b[2Jb.yaml",
		"delete character":                "a\x7fb.yaml",
		"not UTF-8":                       "a\xff\xfeb.yaml",
		"name of 256 bytes":               strings.Repeat("n", 256),
		"path of more than 4096 bytes":    strings.Repeat("dir/", 63) + strings.Repeat(strings.Repeat("d", 250)+"/", 16) + "x",
		"65 directories deep":             strings.Repeat("d/", 65) + "x.yaml",
		"thousands of directories deep":   strings.Repeat("d/", 2000) + "x.yaml",
		"name of a thousand dots":         strings.Repeat("../", 1000) + "x.yaml",
		"name of a megabyte, nearly":      strings.Repeat("n", 900<<10),
		"traversal in a very long name":   strings.Repeat("a/", 60) + strings.Repeat("../", 100) + "x.yaml",
		"backslash traversal with slash":  `a/..\../b.yaml`,
		"parent with trailing characters": "a/../../ ",
	} {
		shown := path
		if len(shown) > 60 {
			shown = shown[:60]
		}
		all = append(all, hostile{name, around(func(w *Writer) {
			w.Raw(RawHeader{Name: "././@LongLink", Type: tar.TypeGNULongName}, path+"\x00")
			w.Raw(RawHeader{Name: "short", Type: tar.TypeReg}, "x: 1\n")
		}), quoted(shown)})
	}
	return append(all,
		hostile{"traversal in the prefix field", around(func(w *Writer) {
			w.Raw(RawHeader{Name: "escape.yaml", Prefix: "../..", Type: tar.TypeReg}, "x")
		}), "../../escape.yaml"},
		hostile{"traversal by a directory", around(func(w *Writer) { w.Entry(tar.Header{Name: "../escape/", Typeflag: tar.TypeDir}, "") }), "../escape/"},
		hostile{"traversal by PAX path", around(func(w *Writer) {
			w.Raw(RawHeader{Name: "pax", Type: tar.TypeXHeader}, PAX("path", "../../escape.yaml"))
			w.Raw(RawHeader{Name: "innocent.yaml", Type: tar.TypeReg}, "x")
		}), "../../escape.yaml"},
		hostile{"NUL in a PAX path", around(func(w *Writer) {
			w.Raw(RawHeader{Name: "pax", Type: tar.TypeXHeader}, PAX("path", "a.yaml\x00/../b"))
			w.Raw(RawHeader{Name: "innocent.yaml", Type: tar.TypeReg}, "x")
		}), "good/first.yaml"},
		hostile{"one name twice", around(func(w *Writer) { w.File("twice.yaml", "1"); w.File("twice.yaml", "2") }), "twice.yaml"},
		hostile{"one name twice by a dot", around(func(w *Writer) { w.File("twice.yaml", "1"); w.File("./twice.yaml", "2") }), "twice.yaml"},
		hostile{"a file that is a directory", around(func(w *Writer) { w.File("both", "1"); w.File("both/in.yaml", "2") }), "both/in.yaml"},
		hostile{"a directory that is a file", around(func(w *Writer) { w.File("both/in.yaml", "1"); w.File("both", "2") }), "both"},
		hostile{"a directory entry for a file", around(func(w *Writer) {
			w.File("both", "1")
			w.Entry(tar.Header{Name: "both/", Typeflag: tar.TypeDir}, "")
		}), "both/"},
	)
}

func hostileTypes() []hostile {
	entry := func(name string, header tar.Header) hostile {
		header.Name = "bad/entry"
		return hostile{name, around(func(w *Writer) { w.Entry(header, "") }), header.Name}
	}
	raw := func(name string, flag byte) hostile {
		return hostile{name, around(func(w *Writer) { w.Raw(RawHeader{Name: "bad/entry", Type: flag}, "") }), "bad/entry"}
	}
	return []hostile{
		entry("hard link to a file outside", tar.Header{Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		entry("hard link to a file of the archive", tar.Header{Typeflag: tar.TypeLink, Linkname: "good/first.yaml"}),
		entry("hard link to itself", tar.Header{Typeflag: tar.TypeLink, Linkname: "bad/entry"}),
		entry("character device", tar.Header{Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}),
		entry("block device", tar.Header{Typeflag: tar.TypeBlock, Devmajor: 8}),
		entry("FIFO", tar.Header{Typeflag: tar.TypeFifo}),
		raw("contiguous file", tar.TypeCont),
		raw("socket", 's'),
		raw("unknown type", 'Z'),
		raw("volume header", 'V'),
		raw("multi-volume continuation", 'M'),
		{"file through a symbolic link to a directory", around(func(w *Writer) {
			w.Entry(tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, "")
			w.File("link/passwd", "root::0:0::/:/bin/sh\n")
		}), "link/passwd"},
		{"file over a symbolic link", around(func(w *Writer) {
			w.Entry(tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, "")
			w.File("link", "root::0:0::/:/bin/sh\n")
		}), "link"},
		{"symbolic link over a directory", around(func(w *Writer) {
			w.File("dir/a", "1")
			w.Entry(tar.Header{Name: "dir", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, "")
		}), "dir"},
		{"symbolic link with a name outside", around(func(w *Writer) {
			w.Entry(tar.Header{Name: "../link", Typeflag: tar.TypeSymlink, Linkname: "x"}, "")
		}), "../link"},
	}
}

func hostileHeaders() []hostile {
	file := RawHeader{Name: "bad.yaml", Type: tar.TypeReg}
	pax := func(name string, records string) hostile {
		return hostile{name, around(func(w *Writer) {
			w.Raw(RawHeader{Name: "pax", Type: tar.TypeXHeader}, records)
			w.Raw(file, strings.Repeat("x", 1024))
		}), ""}
	}
	size := func(name, size string) hostile {
		return hostile{name, around(func(w *Writer) { w.Raw(RawHeader{Name: "bad.yaml", Type: tar.TypeReg, Size: size}, "x") }), ""}
	}
	binarySize := make([]byte, 12)
	binarySize[0] = 0x80
	binary.BigEndian.PutUint64(binarySize[4:], 1<<62)
	return []hostile{
		pax("PAX size smaller than the header's", PAX("size", "0")),
		pax("PAX size larger than the header's", PAX("size", "4096")),
		pax("negative PAX size", PAX("size", "-1")),
		pax("PAX size that is no number", PAX("size", "many")),
		pax("PAX size of exabytes", PAX("size", "9223372036854775807")),
		pax("PAX sparse file, version 0.1", PAX("GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.map", "0,1", "GNU.sparse.numblocks", "1", "GNU.sparse.size", "99999999999")),
		pax("PAX sparse name outside", PAX("GNU.sparse.name", "../../escape.yaml", "GNU.sparse.major", "1")),
		pax("PAX record without an end", "30 path=x"),
		pax("PAX record of a negative length", "-5 path=x\n"),
		{"global header that renames", around(func(w *Writer) {
			w.Raw(RawHeader{Name: "pax_global_header", Type: tar.TypeXGlobalHeader}, PAX("path", "../../escape.yaml"))
			w.Raw(file, "x")
		}), "../../escape.yaml"},
		{"global header with a size", around(func(w *Writer) {
			w.Raw(RawHeader{Name: "pax_global_header", Type: tar.TypeXGlobalHeader}, PAX("size", "1"))
			w.Raw(file, "x")
		}), "pax_global_header"},
		size("negative size", string(append([]byte{0xff}, bytes.Repeat([]byte{0xff}, 11)...))),
		size("binary size of exabytes", string(binarySize)),
		size("size that is no number", "zzzzzzzzzzz"),
		{"GNU sparse file", around(func(w *Writer) { w.Raw(RawHeader{Name: "bad.yaml", Type: tar.TypeGNUSparse}, "x") }), ""},
		{"directory with content", around(func(w *Writer) { w.Raw(RawHeader{Name: "bad/", Type: tar.TypeDir, Size: "00000000010"}, "") }), ""},
		{"long name of many megabytes", around(func(w *Writer) {
			w.Raw(RawHeader{Name: "././@LongLink", Type: tar.TypeGNULongName}, strings.Repeat("n", 8<<20))
			w.Raw(file, "x")
		}), ""},
		{"PAX header of many megabytes", around(func(w *Writer) {
			w.Raw(RawHeader{Name: "pax", Type: tar.TypeXHeader}, PAX("comment", strings.Repeat("n", 8<<20)))
			w.Raw(file, "x")
		}), ""},
		{"PAX size that shows an entry which other readers do not see", around(func(w *Writer) {
			hidden := Tar(func(w *Writer) { w.File("hidden.yaml", "x") })
			w.Raw(RawHeader{Name: "pax", Type: tar.TypeXHeader}, PAX("size", "0"))
			w.Raw(file, string(hidden[:1024]))
		}), "bad.yaml"},
		{"wrong checksum", func() []byte {
			data := Tar(func(w *Writer) { w.File("bad.yaml", "x") })
			data[0] ^= 1
			return Gzip(data)
		}, ""},
	}
}

func hostileSizes() []hostile {
	return []hostile{
		{"file of gigabytes that is not there", around(func(w *Writer) { w.Raw(RawHeader{Name: "bomb.yaml", Type: tar.TypeReg, Size: "77777777777"}, "x") }), "bomb.yaml"},
		{"file of 33 MiB", around(func(w *Writer) { w.File("bomb.yaml", Noise(33<<20)) }), "bomb.yaml"},
		{"200 files of 2 MiB", around(func(w *Writer) {
			content := Noise(2 << 20)
			for i := range 200 {
				w.File(fmt.Sprintf("bomb/%d", i), content)
			}
		}), "bomb/"},
		{"zeros", around(func(w *Writer) { w.File("bomb.yaml", strings.Repeat("\x00", 30<<20)) }), "bomb.yaml"},
		{"20,001 empty files", around(func(w *Writer) {
			for i := range 20_001 {
				w.File(fmt.Sprintf("bomb/%d", i), "")
			}
		}), "bomb/"},
		{"one directory 20,001 times", around(func(w *Writer) {
			for range 20_001 {
				w.Entry(tar.Header{Name: "bomb/", Typeflag: tar.TypeDir, Mode: 0o755}, "")
			}
		}), "bomb/"},
		{"20,001 directories", around(func(w *Writer) {
			for i := range 20_001 {
				w.Entry(tar.Header{Name: fmt.Sprintf("bomb/%d/", i), Typeflag: tar.TypeDir, Mode: 0o755}, "")
			}
		}), "bomb/"},
		{"20,001 symbolic links", around(func(w *Writer) {
			for i := range 20_001 {
				w.Entry(tar.Header{Name: fmt.Sprintf("bomb/%d", i), Typeflag: tar.TypeSymlink, Linkname: "x"}, "")
			}
		}), "bomb/"},
		{"directories that only names have", around(func(w *Writer) {
			for i := range 1_000 {
				w.File(fmt.Sprintf("bomb/%d/%sx", i, strings.Repeat("d/", 50)), "")
			}
		}), "bomb/"},
		{"names of megabytes together", around(func(w *Writer) {
			long := strings.Repeat(strings.Repeat("d", 200)+"/", 19)
			for i := range 6_000 {
				w.File(fmt.Sprintf("%sbomb-%d", long, i), "")
			}
		}), "dddd"},
		{"zeros after the end, compressed well", func() []byte {
			return Gzip(append(Tar(func(w *Writer) { w.File("good.yaml", "a: 1") }), bytes.Repeat([]byte{0}, 64<<20)...))
		}, ""},
	}
}

func hostilePackings() []hostile {
	good := func() []byte { return Tar(func(w *Writer) { w.File("good.yaml", Noise(100<<10)) }) }
	return []hostile{
		{"nothing", func() []byte { return nil }, ""},
		{"one byte", func() []byte { return []byte{0x1f} }, ""},
		{"text", func() []byte { return []byte(strings.Repeat("this is no archive\n", 100)) }, ""},
		{"web page, compressed", func() []byte { return Gzip([]byte(strings.Repeat("<html></html>\n", 100))) }, ""},
		{"magic of gzip alone", func() []byte { return []byte{0x1f, 0x8b} }, ""},
		{"cut off in the compressed data", func() []byte { data := Gzip(good()); return data[:len(data)/2] }, "good.yaml"},
		{"cut off in the checksum", func() []byte { data := Gzip(good()); return data[:len(data)-4] }, ""},
		{"wrong checksum of the compression", func() []byte { data := Gzip(good()); data[len(data)-6] ^= 1; return data }, ""},
		{"plain tar that is cut off in a file", func() []byte { data := good(); return data[:50<<10] }, "good.yaml"},
		{"plain tar that is cut off after a file", func() []byte { data := good(); return data[:len(data)-1024] }, ""},
		{"compressed twice", func() []byte { return Gzip(Gzip(good())) }, ""},
		{"compressed ten times", func() []byte {
			data := bytes.Repeat([]byte{0}, 64<<20)
			for range 10 {
				data = Gzip(data)
			}
			return data
		}, ""},
		{"garbage after the compressed data", func() []byte { return append(Gzip(good()), "garbage garbage garbage"...) }, ""},
		{"second archive after the first", func() []byte { return Gzip(append(good(), good()...)) }, ""},
		{"second member with another archive", func() []byte { return append(Gzip(good()), Gzip(good())...) }, ""},
		{"zip", func() []byte { return append([]byte("PK\x03\x04"), bytes.Repeat([]byte{7}, 2000)...) }, ""},
	}
}

// Noise is text that compresses, by less than the ratio that is a bomb's.
func Noise(size int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var out strings.Builder
	out.Grow(size + 1024)
	for out.Len() < size {
		fmt.Fprintf(&out, "%016x", random.Uint64())
		out.WriteString(strings.Repeat("a", 400))
	}
	return out.String()[:size]
}

// quoted is a name as errors show it.
func quoted(name string) string { return strings.Trim(fmt.Sprintf("%q", name), `"`) }
