//go:build tools

// Package patchers names the programs that the tests patch with.
package patchers

import (
	_ "github.com/moby/buildkit/cmd/buildkitd"
	_ "github.com/project-copacetic/copacetic"
)
