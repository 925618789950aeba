//go:build tools

// Package tools pins the registry that the tests run against.
package tools

import _ "github.com/olareg/olareg/cmd/olareg"
