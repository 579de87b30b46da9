//go:build !race

package tun

const raceDetector = false
