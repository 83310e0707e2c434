# SPDX-License-Identifier: Apache-2.0
# Once for all files of tier docker.
setup_suite() {
        load lib
        docker_home
        # while there is no docker box, and has been none (default.bats compares)
        facts_of_a_default_box >"$BOXLET_TMP/facts-before"
}

teardown_suite() {
        load lib
        docker_home_end
}
