package decrypt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readJSON reads an object, its keys in their order.
func readJSON(data []byte) (mapping, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // a float64 would lose digits of large integers
	r := jsonReader{decoder: decoder}
	value, err := r.value(0)
	if err != nil {
		return nil, err
	}
	object, is := value.(mapping)
	if !is {
		return nil, errors.New("it is not a JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return object, nil
}

type jsonReader struct {
	decoder *json.Decoder
	values  int
}

func (r *jsonReader) value(depth int) (any, error) {
	if r.values++; depth > maxDepth || r.values > maxValues {
		return nil, errTooMuch
	}
	token, err := r.decoder.Token()
	if err != nil {
		return nil, errNotJSON // the cause would show a part of it
	}
	switch t := token.(type) {
	case json.Number:
		return number(t)
	case json.Delim:
		if t == '[' {
			return r.list(depth)
		}
		return r.mapping(depth)
	}
	return token, nil
}

func (r *jsonReader) mapping(depth int) (any, error) {
	m := mapping{}
	for r.decoder.More() {
		key, err := r.decoder.Token()
		if err != nil {
			return nil, errNotJSON
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		m = append(m, entry{key: key.(string), value: value}) // the decoder has no other keys
	}
	_, err := r.decoder.Token()
	if err != nil {
		return nil, errNotJSON
	}
	return m, nil
}

func (r *jsonReader) list(depth int) (any, error) {
	l := list{}
	for r.decoder.More() {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, value)
	}
	if _, err := r.decoder.Token(); err != nil {
		return nil, errNotJSON
	}
	return l, nil
}

// number is an integer where it can be one.
func number(n json.Number) (any, error) {
	if i, err := n.Int64(); err == nil {
		return int(i), nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, errors.New("it has a number that is too large")
	}
	return f, nil
}

// writeJSON prints a tree as SOPS does, without its comments.
func writeJSON(tree mapping) ([]byte, error) {
	var compact, out bytes.Buffer
	if err := appendJSON(&compact, tree); err != nil {
		return nil, err
	}
	if err := json.Indent(&out, compact.Bytes(), "", "\t"); err != nil {
		return nil, fmt.Errorf("indent JSON: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func appendJSON(out *bytes.Buffer, value any) error {
	separate := func(first *bool) {
		if !*first {
			out.WriteByte(',')
		}
		*first = false
	}
	first := true
	switch v := value.(type) {
	case mapping:
		out.WriteByte('{')
		for _, e := range v {
			if e.note != nil {
				continue
			}
			separate(&first)
			if err := appendJSON(out, e.key); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := appendJSON(out, e.value); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case list:
		out.WriteByte('[')
		for _, item := range v {
			if _, is := item.(comment); is {
				continue
			}
			separate(&first)
			if err := appendJSON(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	default:
		data, err := json.Marshal(v)
		if err != nil {
			return errors.New("it has a number that JSON cannot say") // infinity, or no number
		}
		out.Write(data)
	}
	return nil
}
