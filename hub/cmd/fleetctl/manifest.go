package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// manifest is one document of what was given with -f, as JSON.
type manifest struct {
	file string
	// number counts the documents of the file from 1; line is where this one begins.
	number, line int
	raw          []byte
	// err says why there is no raw.
	err error
}

// String says where the document stands.
func (m manifest) String() string {
	return fmt.Sprintf("%s, document %d (line %d)", m.file, m.number, m.line)
}

// readManifests reads files, directories and "-", which is stdin. What cannot be found is among the problems; what
// cannot be parsed is a manifest with an error. The error is ctx's, which may end while stdin is waited for.
func (a *app) readManifests(ctx context.Context, paths []string, recursive bool) ([]manifest, problems, error) {
	var all []manifest
	var wrong problems
	for _, path := range paths {
		files, err := expand(path, recursive)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		for _, file := range files {
			found, err := a.readFile(ctx, file)
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			if err != nil {
				wrong = append(wrong, err.Error())
			}
			all = append(all, found...)
		}
	}
	return all, wrong, nil
}

// expand returns path, or the files in it when it is a directory.
func expand(path string, recursive bool) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.New(path + ": " + innermost(err))
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != path && !recursive:
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)):
			files = append(files, file)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: holds no .yaml, .yml or .json file (-R looks deeper)", path)
	}
	return files, err
}

func innermost(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func (a *app) readFile(ctx context.Context, file string) ([]manifest, error) {
	var data []byte
	var err error
	if file == "-" {
		file = "stdin"
		data, err = readInput(ctx, func() ([]byte, error) { return io.ReadAll(a.stdin) })
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, errors.New(file + ": " + innermost(err))
	}
	var all []manifest
	for _, part := range split(data) {
		m := manifest{file: file, number: part.number, line: part.line}
		if m.raw, err = yaml.YAMLToJSONStrict(part.text); err != nil {
			m.err = errors.New(shiftLines(err.Error(), part.line-1))
		}
		all = append(all, unpack(m)...)
	}
	return all, nil
}

type part struct {
	number, line int
	text         []byte
}

// split cuts a stream of YAML documents, or of JSON objects, apart. Empty documents are left out.
func split(data []byte) []part {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		if parts := splitJSON(data); parts != nil {
			return parts
		}
	}
	var parts []part
	current := part{number: 1, line: 1}
	end := func() {
		if hasContent(current.text) {
			parts = append(parts, current)
			current.number++
		}
	}
	line := 0
	for text := range bytes.Lines(data) {
		line++
		if bytes.HasPrefix(text, []byte("---")) && (len(text) == 3 || bytes.ContainsRune([]byte(" \t\r\n"), rune(text[3]))) {
			end()
			current = part{number: current.number, line: line + 1}
			if rest := bytes.TrimSpace(text[3:]); len(rest) > 0 && rest[0] != '#' {
				current.text, current.line = append(rest, '\n'), line
			}
			continue
		}
		current.text = append(current.text, text...)
	}
	end()
	return parts
}

// splitJSON returns nil when data is not a stream of JSON values after all.
func splitJSON(data []byte) []part {
	var parts []part
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		before := decoder.InputOffset()
		var value json.RawMessage
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			return nil
		}
		begin := before + int64(bytes.IndexByte(data[before:], '{'))
		parts = append(parts, part{number: len(parts) + 1, line: 1 + bytes.Count(data[:max(begin, 0)], []byte("\n")), text: value})
	}
}

// hasContent reports whether a document is more than comments.
func hasContent(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && string(line) != "..." {
			return true
		}
	}
	return false
}

// unpack is m, or its items when it is a List such as `get -o yaml` prints.
func unpack(m manifest) []manifest {
	var list struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(m.raw, &list); err != nil || !strings.HasSuffix(list.Kind, "List") || list.Items == nil {
		return []manifest{m}
	}
	var all []manifest
	for _, item := range list.Items {
		m.raw = item
		all = append(all, m)
	}
	return all
}

var linePattern = regexp.MustCompile(`line ([0-9]+)`)

// shiftLines makes line numbers of a document those of its file.
func shiftLines(text string, by int) string {
	text = strings.TrimPrefix(text, "error converting YAML to JSON: ")
	return linePattern.ReplaceAllStringFunc(text, func(found string) string {
		n, _ := strconv.Atoi(strings.TrimPrefix(found, "line "))
		return fmt.Sprintf("line %d", n+by)
	})
}
