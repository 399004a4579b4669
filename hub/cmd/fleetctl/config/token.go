package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"flotilla.dev/flotilla/pkg/disk"
)

// TokenPath is where the token of a context is kept: tokens/CONTEXT beside the file at configPath.
func TokenPath(configPath, context string) string {
	return filepath.Join(filepath.Dir(configPath), "tokens", context)
}

// ErrTokenReadable says that others may read a file that holds a token.
var ErrTokenReadable = errors.New("is readable by others: chmod 600 it")

// ReadToken returns the token in the file at path, without white space around it.
func ReadToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("%s: holds no token", path)
	}
	if strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("%s: holds more than a token", path)
	}
	return token, nil
}

// CheckTokenMode returns ErrTokenReadable when others than the owner may read the file at path.
func CheckTokenMode(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: %w", path, ErrTokenReadable)
	}
	return nil
}

// WriteToken keeps the token of a context, for its owner alone.
func WriteToken(configPath, context, token string) error {
	return writePrivate(TokenPath(configPath, context), []byte(token+"\n"))
}

// RemoveToken forgets the token of a context.
func RemoveToken(configPath, context string) error {
	err := os.Remove(TokenPath(configPath, context))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writePrivate replaces the file at path by one for its owner alone.
func writePrivate(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return disk.Replace(path, data, 0o600)
}
