# test: what the tests need beyond the build.

setup_test() {
    local sum
    python_environment
    sum=$(digest "$here/tests.txt")
    step test "$sum" "$venv/.tests-$sum" "Python packages of the tests" test_python "$sum"
}

test_python() {
    "$venv/bin/python" -m pip install --progress-bar off --require-hashes --only-binary :all: --requirement "$here/tests.txt"
    touch "$venv/.tests-$1"
}
