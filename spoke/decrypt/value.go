package decrypt

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// cipher opens the values of one document with its data key.
type cipher struct{ block stdcipher.Block }

// dataKeySize is that of AES-256.
const dataKeySize = 32

func newCipher(dataKey []byte) (cipher, error) {
	if len(dataKey) != dataKeySize {
		return cipher{}, errors.New("its data key is not one of AES-256")
	}
	block, err := aes.NewCipher(dataKey)
	return cipher{block}, err
}

var (
	errNotEncrypted = errors.New("it is not encrypted, and should be")
	errForm         = errors.New("it is cut off or written over")
	errSeal         = errors.New("it does not decrypt: it was changed, or its keys were renamed, after it was encrypted")
)

// A value reads ENC[AES256_GCM,data:…,iv:…,tag:…,type:…], the parts in base64.
const (
	valuePrefix = "ENC[AES256_GCM,data:"
	valueIV     = ",iv:"
	valueTag    = ",tag:"
	valueType   = ",type:"
	valueSuffix = "]"
)

// open returns what an encrypted value stands for. Its place, the keys that lead to it, is authenticated with it. An
// error says nothing of the value.
func (c cipher) open(text string, path []string) (any, error) {
	if text == "" {
		return "", nil // SOPS leaves what is empty alone
	}
	rest, found := strings.CutPrefix(strings.TrimSpace(text), valuePrefix)
	if !found {
		return nil, errNotEncrypted
	}
	data, rest, found1 := strings.Cut(rest, valueIV)
	iv, rest, found2 := strings.Cut(rest, valueTag)
	tag, rest, found3 := strings.Cut(rest, valueType)
	kind, found4 := strings.CutSuffix(rest, valueSuffix)
	if !found1 || !found2 || !found3 || !found4 {
		return nil, errForm
	}
	sealed, err1 := base64.StdEncoding.DecodeString(data)
	nonce, err2 := base64.StdEncoding.DecodeString(iv)
	mark, err3 := base64.StdEncoding.DecodeString(tag)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, errForm
	}
	gcm, err := stdcipher.NewGCMWithNonceSize(c.block, len(nonce))
	if err != nil {
		return nil, errForm
	}
	plain, err := gcm.Open(nil, nonce, append(sealed, mark...), []byte(strings.Join(path, ":")+":"))
	if err != nil {
		return nil, errSeal
	}
	return typed(string(plain), kind)
}

// typed reads a value as the type that it had when it was encrypted.
func typed(text, kind string) (value any, err error) {
	switch kind {
	case "str", "bytes":
		return text, nil
	case "int":
		value, err = strconv.Atoi(text)
	case "float":
		value, err = strconv.ParseFloat(text, 64)
	case "bool":
		value, err = strconv.ParseBool(text)
	case "time":
		var t time.Time
		err = t.UnmarshalText([]byte(text))
		value = t
	case "comment":
		return comment{text: text}, nil
	default:
		return nil, errForm
	}
	if err != nil {
		return nil, errors.New("it is not of the type that it says") // the cause would tell the value
	}
	return value, nil
}
